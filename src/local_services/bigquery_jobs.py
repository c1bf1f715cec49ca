"""What the BigQuery emulator remembers of its jobs: the last ones, as results are of the last.

It keeps each query for ever, in memory and on disk: a page that refreshes asks for hundreds of
thousands a day.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

KEPT = 1_000
"""Jobs that are kept; as many more may wait to be forgotten."""


def remembering(repository: Any, schemas: MutableMapping[str, Any]) -> Any:
    """Return a catalog (the emulator's class for persistent ones) that forgets old jobs.

    Args:
        repository: the class.
        schemas: what the emulator knows of results by job, for ever too.
    """

    class RecentJobs(repository):  # type: ignore[misc]
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

        def _forget(self) -> None:
            jobs = self._cache._jobs
            done = sorted(
                (job for job in jobs.values() if job.state == "DONE"),
                key=lambda job: job.creation_time,
            )
            for job in done[:-KEPT]:
                del jobs[job.project_id, job.job_id]
                schemas.pop(job.job_id, None)
            if len(done) > KEPT:
                self._engine.execute(
                    "DELETE FROM _bqemulator_catalog.jobs "
                    "WHERE state = 'DONE' AND creation_time < ?",
                    [done[-KEPT].creation_time],
                )

    return RecentJobs
