"""``python -m spotify_mlops``."""

from .cli.main import main

if __name__ == "__main__":
    main()
