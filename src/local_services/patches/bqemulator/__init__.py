"""bqemulator 1.4.0: what a stream of appends, a notebook's queries and a shared machine need.

The emulator has no setting for any of it (``bqemulator/config.py``). Its modules copy each other's
names when they are imported, so the order matters.
"""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from spotify_mlops.io.http import connections

LIMITS = connections.Limits(message_seconds=600.0)
"""A request may bring a file."""


def apply(uploads: Path, key: str) -> None:
    """Change the emulator, once, in a process that has not imported it.

    Args:
        uploads: the only folder that it reads besides its own files, resolved.
        key: what its callers must send.
    """
    from . import engine, files, memory, parsing

    parsing.parse_once()
    memory.bound()
    engine.queue_jobs()
    files.only_uploads(uploads)
    files.shut_in_conversions(uploads)

    import bqemulator.server as server
    import grpc.aio

    from . import access, answers

    answers.correct()
    engine.CursorPerThread.uploads = uploads
    server.DuckDBEngine = engine.CursorPerThread  # type: ignore[misc]
    server.SnapshotManager = engine.NoTimeTravel  # type: ignore[misc]
    server.DuckDBCatalogRepository = memory.RecentJobs  # type: ignore[misc]
    server.uvicorn.Config = functools.partial(  # type: ignore[assignment, misc]
        server.uvicorn.Config, http=connections.protocol(LIMITS)
    )
    threads = ThreadPoolExecutor(engine.RPC_THREADS)
    grpc.aio.server = functools.partial(grpc.aio.server, migration_thread_pool=threads)
    access.only_the_owner(key)
