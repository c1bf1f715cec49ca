"""Run the BigQuery emulator: ``python -m local_services.bigquery_server DATA REST GRPC``.

The emulator as published, with what ``patches/bqemulator`` changes.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from spotify_mlops.io import logs
from spotify_mlops.io.local import secret
from spotify_mlops.io.patches import interpreter

from .patches import bqemulator as patch

MESSAGE_BYTES = 128 * 1024 * 1024
UPLOAD_BYTES = 10 * 1024 * 1024 * 1024


def main(data: Path, rest_port: int, grpc_port: int) -> None:
    """Serve until TERM."""
    from bqemulator.config import LogFormat, LogLevel, PersistenceMode, Settings
    from bqemulator.observability.logging_ import configure_logging

    logs.keep_small()
    # An append goes through several threads, each of which would wait a whole turn.
    interpreter.take_turns(interpreter.SHORT_TURN)
    configure_logging(level=LogLevel.WARNING, fmt=LogFormat.CONSOLE)
    uploads = _empty(data / "uploads")
    patch.apply(uploads, secret.key("bigquery"))

    from bqemulator import server

    server.run_forever(
        Settings(
            rest_port=rest_port,
            grpc_port=grpc_port,
            persistence_mode=PersistenceMode.PERSISTENT,
            data_dir=data,
            enable_format_extensions=False,  # Avro would be downloaded
            write_api_max_request_bytes=MESSAGE_BYTES,  # also caps the batches of a read
            upload_max_bytes=UPLOAD_BYTES,
            upload_staging_dir=uploads,
            log_level=LogLevel.WARNING,
        )
    )


def _empty(folder: Path) -> Path:
    """Return a folder, resolved, without what a server that was killed left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    return folder.resolve()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
