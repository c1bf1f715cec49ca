"""Run the BigQuery emulator: ``python -m local_services.bigquery_server DATA REST GRPC``.

The emulator as published, with what a stream of appends and a notebook's queries need added.
"""

from __future__ import annotations

import asyncio
import functools
import shutil
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from spotify_mlops.io import logs
from spotify_mlops.io.http import connections
from spotify_mlops.io.local import secret

from . import bigquery_guard, bigquery_jobs

RESULT_BYTES = 512 * 1024 * 1024
"""Memory for query results that clients may still fetch; the oldest go first."""
RPC_THREADS = 128
"""Each open append stream holds one; the default is cores + 4, and then reads hang."""
MESSAGE_BYTES = 128 * 1024 * 1024
UNMERGED_BYTES = 256 * 1024 * 1024
"""Of appended rows that stay in the write-ahead log before DuckDB merges them into the tables. It
rewrites each table's last rows then, and with its own 16 MB it did so every second."""
RESULT_OVERHEAD = 16 * 1024
"""Of a result, besides its columns: a page that refreshes asks for thousands of small ones."""
UPLOAD_BYTES = 10 * 1024 * 1024 * 1024
LIMITS = connections.Limits(message_seconds=600.0)
"""A request may bring a file."""


class Recent(OrderedDict):  # type: ignore[type-arg]
    """A mapping that forgets its oldest values beyond ``RESULT_BYTES``; never the newest."""

    def __init__(self) -> None:
        super().__init__()
        self._changing = threading.RLock()
        self._sizes: dict[str, int] = {}
        self._total = 0

    def __setitem__(self, key: str, value: Any) -> None:
        size = RESULT_OVERHEAD + int(getattr(value, "table", value).nbytes)
        with self._changing:
            self.pop(key, None)
            super().__setitem__(key, value)
            self._sizes[key] = size
            self._total += size
            while self._total > RESULT_BYTES and len(self) > 1:
                del self[next(iter(self))]

    def __delitem__(self, key: str) -> None:
        with self._changing:
            super().__delitem__(key)
            self._total -= self._sizes.pop(key)

    def pop(self, key: str, default: Any = None) -> Any:
        """Remove a value and return it; ``default`` where there is none."""
        with self._changing:
            if key not in self:
                return default
            value = self[key]
            del self[key]
            return value


def main(data: Path, rest_port: int, grpc_port: int) -> None:
    """Serve until TERM."""
    from bqemulator.config import LogFormat, LogLevel, PersistenceMode, Settings
    from bqemulator.observability.logging_ import configure_logging

    logs.keep_small()
    # An append goes through several threads, each of which would wait a whole turn of 5 ms.
    sys.setswitchinterval(0.0005)
    configure_logging(level=LogLevel.WARNING, fmt=LogFormat.CONSOLE)
    # Before the modules that copy these names are imported.
    import bqemulator.jobs.executor as executor
    import bqemulator.streaming.read_session as read_session

    executor.JOB_RESULTS = Recent()
    read_session._SESSIONS = Recent()

    # Queries and loads run one after the other, as before, but not in the event loop, which
    # would answer no append until they end.
    worker = ThreadPoolExecutor(1, thread_name_prefix="jobs")
    locks = ThreadPoolExecutor(RPC_THREADS, thread_name_prefix="locks")

    def aside(job: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        @functools.wraps(job)
        async def run(*arguments: Any, **named: Any) -> Any:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(worker, lambda: asyncio.run(job(*arguments, **named)))

        return run

    executor.execute_query_job = aside(executor.execute_query_job)
    executor.execute_load_job = aside(executor.execute_load_job)

    _refuse_failed_queries()
    _show_view_queries()
    uploads = _empty(data / "uploads")
    bigquery_guard.only_uploads(executor, uploads)

    import bqemulator.grpc_api.read_servicer as read_servicer
    import bqemulator.grpc_api.write_servicer as write_servicer
    import bqemulator.server as server
    import grpc.aio
    from bqemulator.storage.engine import DuckDBEngine
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

    class CursorPerThread(DuckDBEngine):
        """A DuckDB connection holds one result at a time.

        REST and gRPC run in different threads: with one connection an append may replace the
        result of a query before it is fetched. Each thread gets a cursor of its own.
        """

        def __init__(self, settings):  # type: ignore[no-untyped-def]
            super().__init__(settings)
            self._local = threading.local()
            self._writing = threading.Lock()

        async def start(self):  # type: ignore[no-untyped-def]
            await super().start()
            self.connection.execute(f"SET checkpoint_threshold = '{UNMERGED_BYTES}B'")
            bigquery_guard.shut_in(self.connection, uploads)

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
            await asyncio.get_running_loop().run_in_executor(locks, self._writing.acquire)
            try:
                yield
            finally:
                self._writing.release()

    class ReadResults(read_servicer.BigQueryReadHandler):
        """Storage Read of a query's result, by the anonymous table that its job names.

        This is what the official client does for large results; the emulator has the result
        but not the table.
        """

        def _handle_create_read_session(self, request_bytes, context):  # type: ignore[no-untyped-def]
            from google.cloud.bigquery_storage_v1 import types

            request = types.CreateReadSessionRequest.deserialize(request_bytes)
            session = request.read_session
            table = _result(session.table, executor)
            if table is None:
                return super()._handle_create_read_session(request_bytes, context)
            fields = list(session.read_options.selected_fields) if session.read_options else None
            state = read_session.create_read_session(
                project_id=session.table.split("/")[1],
                table_ref=session.table,
                arrow_table=table,
                max_streams=request.max_stream_count or 1,
                selected_fields=fields,
            )
            self._ctx.metrics.read_streams_active.inc(len(state.streams))
            return types.ReadSession.serialize(
                read_servicer._build_read_session_response(
                    state=state,
                    read_session=session,
                    session_format=read_session.FORMAT_ARROW,
                    wire_format=types.DataFormat.ARROW,
                    arrow_table=table,
                )
            )

    class ForgetsFailures(write_servicer.BigQueryWriteHandler):
        """Storage Write that does not count rows as there when they could not be written.

        The emulator moves a stream's offset first: the append that is repeated after a full disk
        would be told that its rows exist. A client whose stream is unknown begins another.
        """

        def _flush_to_target(self, stream, rows):  # type: ignore[no-untyped-def]
            try:
                super()._flush_to_target(stream, rows)
            except BaseException:
                self._manager.delete(stream.name)
                raise

    def load_parquet(path: str, target: str, context: Any) -> None:
        """Match a Parquet file's columns by name, as BigQuery does, and not by position."""
        context.engine.execute(
            f"INSERT INTO {target} BY NAME SELECT * FROM read_parquet(?)", [path]
        )

    executor._LOAD_FORMAT_HANDLERS["PARQUET"] = load_parquet
    server.uvicorn.Config = functools.partial(  # type: ignore[assignment, misc]
        server.uvicorn.Config, http=connections.protocol(LIMITS)
    )
    server.SnapshotManager = NoTimeTravel  # type: ignore[misc]
    server.DuckDBEngine = CursorPerThread  # type: ignore[misc]
    server.DuckDBCatalogRepository = bigquery_jobs.remembering(  # type: ignore[misc]
        server.DuckDBCatalogRepository, executor.JOB_SCHEMAS
    )
    read_servicer.BigQueryReadHandler = ReadResults  # type: ignore[misc]
    write_servicer.BigQueryWriteHandler = ForgetsFailures  # type: ignore[misc]
    grpc.aio.server = functools.partial(
        grpc.aio.server, migration_thread_pool=ThreadPoolExecutor(RPC_THREADS)
    )
    bigquery_guard.only_the_owner(server, secret.key("bigquery"))
    import_extension("spatial")  # from its wheel, so that nothing is downloaded at run time
    bigquery_guard.shut_in_conversions(uploads)
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


def _refuse_failed_queries() -> None:
    """Answer a failed ``jobs.query`` with its HTTP status, as BigQuery does.

    The emulator answers 200 with ``errors``, which are warnings to the official client: a failed
    query would have no rows. To be called before the application is built.
    """
    from bqemulator.api.routes import jobs
    from bqemulator.domain.errors import DomainError
    from fastapi.responses import JSONResponse
    from fastapi.routing import APIRoute

    statuses = {kind.bq_reason: kind.http_status for kind in DomainError.__subclasses__()}
    query = jobs.query

    @functools.wraps(query)
    async def answered(*arguments: Any, **named: Any) -> Any:
        answer = await query(*arguments, **named)
        if not answer.get("errors"):
            return answer
        error = answer["errors"][0]
        code = statuses.get(error["reason"], 400)
        body = {"code": code, "message": error["message"], "errors": [error]}
        return JSONResponse({"error": body}, status_code=code)

    for route in jobs.router.routes:
        if isinstance(route, APIRoute) and route.endpoint is query:
            route.endpoint = answered


def _show_view_queries() -> None:
    """Say a view's query in ``tables.get``, as BigQuery does: who has it need not replace it."""
    from bqemulator.api.routes import tables

    shown = tables._table_to_rest

    @functools.wraps(shown)
    def whole(table: Any) -> dict[str, Any]:
        body = shown(table)
        if table.view_query:
            body["view"] = {"query": table.view_query, "useLegacySql": False}
        return body

    tables._table_to_rest = whole  # type: ignore[assignment]


def _result(path: str, executor: Any) -> Any:
    """Return the Arrow result behind ``projects/P/datasets/_bqemu_anonymous/tables/anonJOB``."""
    _, _, _, dataset, _, table = path.split("/")
    if dataset != executor._ANONYMOUS_RESULTS_DATASET:
        return None
    for job_id, result in executor.JOB_RESULTS.items():
        if table == f"anon{job_id.replace('-', '')}":
            return result
    return None


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
