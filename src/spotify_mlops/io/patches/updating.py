"""Apache Beam 2.77: which job an update on Dataflow replaces.

Beam is given no job, only the option ``--update``, and looks for one that runs by its name
(``job_id_for_name`` in ``runners/dataflow/internal/apiclient.py``). Where there is none it asks for
ever: the last page of an answer has an empty token, and it waits for one that is None.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def replacing(job: str) -> Iterator[None]:
    """Have what is submitted in the block with ``--update`` replace this job (its id)."""
    from apache_beam.runners.dataflow.internal.apiclient import Job

    def known(self: Job, job_name: str) -> str:
        return job

    before = Job.job_id_for_name
    Job.job_id_for_name = known  # type: ignore[method-assign]
    try:
        yield
    finally:
        Job.job_id_for_name = before  # type: ignore[method-assign]
