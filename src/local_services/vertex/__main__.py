"""Run the stand-in: ``python -m local_services.vertex FOLDER PORT``.

Its clients send the key that ``spotify-mlops token vertex`` says.
"""

from __future__ import annotations

import sys
from pathlib import Path

from spotify_mlops.io import logs
from spotify_mlops.io.local import secret

from ..google_api.server import serve
from .server import Server


def main(folder: Path, port: int) -> None:
    """Serve until TERM."""
    logs.keep_small()
    server = Server(folder, secret.key("vertex"))
    serve(server.app, port)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
