"""Run the BigQuery emulator: ``python -m spotify_mlops.local.bigquery_server DATA REST GRPC``."""

from __future__ import annotations

import sys
from pathlib import Path


def main(data: Path, rest_port: int, grpc_port: int) -> None:
    """Serve until TERM."""
    import bqemulator.server as server
    from bqemulator.config import LogLevel, PersistenceMode, Settings
    from bqemulator.versioning.snapshots import SnapshotManager
    from duckdb_extensions import import_extension

    class NoTimeTravel(SnapshotManager):
        """The emulator copies a whole table after each change, for FOR SYSTEM_TIME AS OF.

        Nothing here reads the past that way, and a stream that appends ten times a second to a
        table of a million rows would copy it ten times a second. Snapshots that a user asks
        for with CREATE SNAPSHOT TABLE work as before.
        """

        def capture(self, project_id, dataset_id, table_id, *, kind="AUTO"):  # type: ignore[no-untyped-def]
            if kind == "AUTO":
                return None
            return super().capture(project_id, dataset_id, table_id, kind=kind)

    server.SnapshotManager = NoTimeTravel  # type: ignore[misc]
    import_extension("spatial")  # from its wheel, so that nothing is downloaded at run time
    server.run_forever(
        Settings(
            rest_port=rest_port,
            grpc_port=grpc_port,
            persistence_mode=PersistenceMode.PERSISTENT,
            data_dir=data,
            enable_format_extensions=False,  # Avro would be downloaded
            write_api_max_stream_rows=2_000_000_000,
            log_level=LogLevel.WARNING,
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
