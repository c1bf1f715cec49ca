"""Run the stand-in: ``python -m local_services.dataflow FOLDER PORT``.

Beam's runner sends no key to an endpoint of this machine, so who asks is known by the kernel: the
owner's own processes, and no web page.
"""

from __future__ import annotations

import sys
from pathlib import Path

from spotify_mlops.io import logs

from ..google_api.server import serve
from .server import Server


def main(folder: Path, port: int) -> None:
    """Serve until TERM."""
    logs.keep_small()
    serve(Server(folder).app, port)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
