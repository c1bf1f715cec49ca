"""Jobs on Apache Flink: submitted to Beam's job server, watched by Flink's REST (`cluster`).

What Flink keeps of one goes with its JobManager: then it is submitted again, and the log says from
where.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.portable_runner import PortableRunner
from apache_beam.runners.runner import PipelineResult, PipelineState

from ...config.errors import ServiceError, one_line
from ...config.params import Params
from ...config.references import LOCAL
from ...io import addresses
from ...io import flink as rest
from ...io.flink import BUNDLES, CHECKPOINTS, ENDED, JOB_MANAGER, JOB_SERVER, WORKERS
from ...io.local import tls
from ...pipeline import metrics
from .cluster import Run, await_end

TITLE = "Flink"
_PATIENCE = 30.0
_POLL = 0.1
LOOK_SECONDS = 0.5
"""Between two looks at a job that works: each is a handshake with the JobManager."""


@dataclass(frozen=True)
class Job:
    """One job, as the JobManager knows it."""

    id: str
    name: str
    state: str
    """Flink's: CREATED, RUNNING, RESTARTING, FAILING, CANCELLING, or one of ``ENDED``."""
    began: datetime
    """When the JobManager took it (UTC)."""
    run: None = None
    """It keeps nothing of whoever sent it."""

    @property
    def is_over(self) -> bool:
        """Tell whether it ended, in whichever way."""
        return self.state in ENDED

    @property
    def is_complete(self) -> bool:
        """Tell whether it ended with its log."""
        return self.state == "FINISHED"


def job_name(text: str) -> str:
    """Return the text: any is a name."""
    return text


def options(params: Params, name: str, *, bounded: bool = False) -> PipelineOptions:
    """Return the options of a job that goes on for ever, or of one that ends with its log.

    A job that makes checkpoints never ends by itself, so one that is to end makes none: it is run
    again from its beginning.

    Raises:
        ServiceError: an address is ``local`` and the cluster is not up.
    """
    engine = params.engine
    workers = addresses.address(engine.flink_workers, WORKERS, "pool")
    return PipelineOptions(
        [
            *("--streaming", f"--job_name={name}", f"--parallelism={engine.parallelism}"),
            f"--job_endpoint={addresses.address(engine.flink_job_server, JOB_SERVER, 'jobs')}",
            *("--environment_type=EXTERNAL", f"--environment_config={workers}"),
            *(() if bounded else CHECKPOINTS),
            BUNDLES,
        ]
    )


def submit(
    params: Params,
    name: str,
    build: Callable[[beam.Pipeline], object],
    *,
    bounded: bool = False,
    run: Run | None = None,
    replaced: None = None,
) -> Job:
    """Submit what ``build`` makes of a pipeline, and return it once Flink has it.

    Args:
        params: where the cluster is, and how much of it the job takes.
        name: of the job.
        build: puts the graph into a pipeline.
        bounded: whether the job ends by itself.
        run: is not kept, so that no job here is gone on with.
        replaced: none, therefore.

    Raises:
        ServiceError: the cluster is not up, or does not take the job.
    """
    _check_server(params)
    slots = ask(params, "/overview")["slots-total"]
    if slots < params.engine.parallelism:
        raise ServiceError(
            f"Flink tiene {slots} huecos y la tarea «{name}» pide {params.engine.parallelism} "
            "(parallelism): «spotify-mlops up» arranca los TaskManagers que falten."
        )
    before = {job.id for job in jobs(params)}
    pipeline = beam.Pipeline(PortableRunner(), options=options(params, name, bounded=bounded))
    build(pipeline)
    result = pipeline.run()
    deadline = time.monotonic() + _PATIENCE
    reason = "no la tiene a tiempo"
    while time.monotonic() < deadline:
        found = [job for job in jobs(params) if job.name == name and job.id not in before]
        if found:
            return found[0]
        if result.state == PipelineState.FAILED:
            reason = _told(result)
            break
        time.sleep(_POLL)
    raise ServiceError(f"Flink no acepta la tarea «{name}»: {reason}.")


def _told(result: PipelineResult) -> str:
    """Return why the job server could not submit a job."""
    try:
        result.wait_until_finish()
    except RuntimeError as error:
        return one_line(error, 300)
    return "no dice por qué"


def jobs(params: Params) -> list[Job]:
    """Return what the JobManager knows of, the newest first.

    Raises:
        ServiceError: it does not answer.
    """
    found = [
        Job(job["jid"], job["name"], job["state"], _moment(job["start-time"]))
        for job in ask(params, "/jobs/overview")["jobs"]
    ]
    return sorted(found, key=lambda job: job.began, reverse=True)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def now(params: Params, job: Job) -> Job | None:
    """Return a job as it is now; None when the JobManager knows it no more."""
    return next((other for other in jobs(params) if other.id == job.id), None)


def status(params: Params, name: str) -> Job | None:
    """Return the newest job of a name; None when the JobManager knows of none.

    Raises:
        ServiceError: it does not answer.
    """
    return next((job for job in jobs(params) if job.name == name), None)


def counters(params: Params, job: Job) -> dict[str, int]:
    """Return what the steps of a job have counted since Flink last began them, by name.

    Raises:
        ServiceError: the JobManager does not answer.
    """
    found = rest.counters(partial(ask, params), job.id)
    return {name: n for (namespace, name), n in found.items() if namespace == metrics.NAMESPACE}


def cancel(params: Params, job: Job, timeout: float = 60.0) -> Job:
    """End a job, and wait until it has ended: open windows are dropped, nothing unfinished fires.

    Raises:
        ServiceError: it does not end in ``timeout`` seconds, or the JobManager does not answer.
    """
    if not job.is_over:
        ask(params, f"/jobs/{job.id}?mode=cancel", "PATCH")
    return await_end(lambda: now(params, job), job, TITLE, timeout, _POLL)


def finish(params: Params, job: Job) -> Job:
    """End a job that did what it was for: as `cancel`, since nothing unfinished is written.

    Raises:
        ServiceError: it does not end, or the JobManager does not answer.
    """
    return cancel(params, job)


def failures(params: Params, job: Job) -> list[str]:
    """Return why a job failed each time, the last time first, as the JobManager tells.

    Raises:
        ServiceError: it does not answer.
    """
    history = ask(params, f"/jobs/{job.id}/exceptions")["exceptionHistory"]["entries"]
    return [str(entry["stacktrace"]) for entry in history]


def _check_server(params: Params) -> None:
    """Refuse to send a job, which is code and data, to another user's server."""
    for value, name, of in (
        (params.engine.flink_job_server, JOB_SERVER, "jobs"),
        (params.engine.flink_workers, WORKERS, "pool"),
    ):
        if value == LOCAL:
            addresses.check_server(addresses.address(value, name, of), "ninguna tarea")


def ask(params: Params, path: str, method: str = "GET") -> Any:
    """Return what the JobManager's REST answers.

    Raises:
        ServiceError: it does not, or with an error.
    """
    where = addresses.address(params.engine.flink_rest, JOB_MANAGER, "rest")
    context = tls.context() if params.engine.flink_rest == LOCAL else None
    return rest.ask(where, path, method, context=context)
