"""How much the emulator remembers of its jobs: the last ones, where it keeps each for ever.

A page that refreshes asks for hundreds of thousands of queries a day, and each is kept in memory
with its result (``JOB_RESULTS`` of ``jobs/executor.py``, ``_SESSIONS`` of
``streaming/read_session.py``) and on disk (``catalog/duckdb_repository.py``).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import bqemulator.jobs.executor as executor
import bqemulator.streaming.read_session as read_session
from bqemulator.catalog.duckdb_repository import DuckDBCatalogRepository

RESULT_BYTES = 512 * 1024 * 1024
"""Memory for query results that clients may still fetch; the oldest go first."""
RESULT_OVERHEAD = 16 * 1024
"""Of a result, besides its columns: a page that refreshes asks for thousands of small ones."""
KEPT = 1_000
"""Jobs that are kept; as many more may wait to be forgotten."""


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

    def items(self) -> list[tuple[str, Any]]:  # type: ignore[override]
        """Return what there is now: while one thread looks through it, others add to it."""
        with self._changing:
            return [(key, self[key]) for key in self]

    def pop(self, key: str, default: Any = None) -> Any:
        """Remove a value and return it; ``default`` where there is none."""
        with self._changing:
            if key not in self:
                return default
            value = self[key]
            del self[key]
            return value


class RecentJobs(DuckDBCatalogRepository):
    """A catalog that forgets old jobs, and the schemas of their results.

    What a job read is never written: its result does not outlive the process either, and to write
    it, until it is on the disk, takes longer than most queries.
    """

    def ensure_ready(self) -> None:
        was_ready = self._loaded
        super().ensure_ready()
        if not was_ready:
            self._forget()

    def upsert_job(self, job: Any) -> Any:
        written = super().upsert_job(job)
        if len(self._cache._jobs) > 2 * KEPT:
            self._forget()
        return written

    def _write_job(self, job: Any) -> None:
        if job.statistics.get("query", {}).get("statementType") != "SELECT":
            super()._write_job(job)

    def _forget(self) -> None:
        jobs = self._cache._jobs
        done = sorted(
            (job for job in jobs.values() if job.state == "DONE"),
            key=lambda job: job.creation_time,
        )
        for job in done[:-KEPT]:
            del jobs[job.project_id, job.job_id]
            executor.JOB_SCHEMAS.pop(job.job_id, None)
        if len(done) > KEPT:
            self._engine.execute(
                "DELETE FROM _bqemulator_catalog.jobs WHERE state = 'DONE' AND creation_time < ?",
                [done[-KEPT].creation_time],
            )


def bound() -> None:
    """Keep the last results alone. To be called before other modules copy these names."""
    executor.JOB_RESULTS = Recent()
    read_session._SESSIONS = Recent()
