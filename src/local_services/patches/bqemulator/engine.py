"""How the emulator uses DuckDB: from several threads, and without a copy of what is appended.

``DuckDBEngine`` of ``storage/engine.py`` has one connection, ``SnapshotManager`` of
``versioning/snapshots.py`` copies a table after each change, and ``jobs/executor.py`` works in the
event loop and inserts a Parquet file's columns by position.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import bqemulator.jobs.executor as executor
from bqemulator.storage.engine import DuckDBEngine
from bqemulator.versioning.snapshots import SnapshotManager

from . import files

RPC_THREADS = 128
"""Each open append stream holds one; the default is cores + 4, and then reads hang."""
UNMERGED_BYTES = 256 * 1024 * 1024
"""Of appended rows that stay in the write-ahead log before DuckDB merges them into the tables. It
rewrites each table's last rows then, and with its own 16 MB it did so every second."""


def queue_jobs() -> None:
    """Run queries and loads one after the other, as before, but not in the event loop.

    It would answer no append until they end. To be called before the routes copy these names.
    """
    worker = ThreadPoolExecutor(1, thread_name_prefix="jobs")

    def aside(job: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        @functools.wraps(job)
        async def run(*arguments: Any, **named: Any) -> Any:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(worker, lambda: asyncio.run(job(*arguments, **named)))

        return run

    executor.execute_query_job = aside(executor.execute_query_job)
    executor.execute_load_job = aside(executor.execute_load_job)
    executor._LOAD_FORMAT_HANDLERS["PARQUET"] = _load_parquet


def _load_parquet(path: str, target: str, context: Any) -> None:
    """Match a Parquet file's columns by name, as BigQuery does, and not by position."""
    context.engine.execute(f"INSERT INTO {target} BY NAME SELECT * FROM read_parquet(?)", [path])
    files.let_go(path)


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


class CursorPerThread(DuckDBEngine):
    """A DuckDB connection holds one result at a time.

    REST and gRPC run in different threads: with one connection an append may replace the
    result of a query before it is fetched. Each thread gets a cursor of its own.
    """

    uploads: Path
    """The folder that it may read besides its own files."""
    _locks = ThreadPoolExecutor(RPC_THREADS, thread_name_prefix="locks")

    def __init__(self, settings):  # type: ignore[no-untyped-def]
        super().__init__(settings)
        self._local = threading.local()
        self._writing = threading.Lock()

    async def start(self):  # type: ignore[no-untyped-def]
        await super().start()
        self.connection.execute(f"SET checkpoint_threshold = '{UNMERGED_BYTES}B'")
        files.shut_in(self.connection, self.uploads)

    def _load_spatial(self):  # type: ignore[no-untyped-def]
        self.connection.execute("LOAD spatial")  # never INSTALL, which may fetch it

    @property
    def connection(self):  # type: ignore[no-untyped-def]
        cursor = getattr(self._local, "cursor", None)
        if cursor is None:
            cursor = self._local.cursor = super().connection.cursor()
            cursor.execute("SET TimeZone = 'UTC'")
        return cursor

    @asynccontextmanager
    async def write_lock(self):  # type: ignore[no-untyped-def]
        """Exclude other writers of REST, of whichever thread's event loop."""
        await asyncio.get_running_loop().run_in_executor(self._locks, self._writing.acquire)
        try:
            yield
        finally:
            self._writing.release()
