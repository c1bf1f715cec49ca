"""The streaming job on Apache Flink: submitted to Beam's job server, watched by Flink's REST.

A job has a name, of which one runs at a time, and outlives the process that submitted it. What
Flink keeps of it goes with its JobManager: then it is submitted again, and the log says from where.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.portable_runner import PortableRunner
from apache_beam.runners.runner import PipelineResult, PipelineState

from ...config.errors import ServiceError, one_line
from ...config.params import Params
from ...config.progress import Progress, silent
from ...config.references import LOCAL
from ...io import addresses
from ...io import flink as rest
from ...io.flink import BUNDLES, CHECKPOINTS, ENDED, JOB_MANAGER, JOB_SERVER, WORKERS
from ...io.local import state, tls
from .cluster import await_end

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
    started: int
    """Milliseconds since 1970."""

    @property
    def is_over(self) -> bool:
        """Tell whether it ended, in whichever way."""
        return self.state in ENDED

    @property
    def is_complete(self) -> bool:
        """Tell whether it ended with its log."""
        return self.state == "FINISHED"


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
    params: Params, name: str, build: Callable[[beam.Pipeline], object], *, bounded: bool = False
) -> Job:
    """Submit what ``build`` makes of a pipeline, and return it once Flink has it.

    Args:
        params: where the cluster is, and how much of it the job takes.
        name: of the job.
        build: puts the graph into a pipeline.
        bounded: whether the job ends by itself.

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


def run(
    params: Params,
    name: str,
    build: Callable[[beam.Pipeline], object],
    is_final: Callable[[str], bool],
    say: Progress = silent,
) -> None:
    """Run a job that ends by itself, and wait for it. It is cancelled when the wait is interrupted.

    Flink begins it again when a process dies, as soon as it has what it needs.

    Args:
        params: where the cluster is.
        name: of the job.
        build: puts the graph into a pipeline.
        is_final: whether beginning again would not help, by the text of a failure.
        say: takes a line of progress in Spanish.

    Raises:
        RuntimeError: the job failed; the text holds the traceback of the step.
        ServiceError: the cluster is not up, does not take the job or loses it.
    """
    job = submit(params, name, build, bounded=True)
    reasons: list[str] = []
    seen = 0
    try:
        while not job.is_over:
            time.sleep(LOOK_SECONDS)
            found = now(params, job)
            if found is None:
                raise ServiceError(f"Flink ya no sabe de la tarea «{name}»: repite la orden.")
            job, reasons = found, failures(params, found)
            if len(reasons) > seen and not job.is_over:
                if is_final(reasons[0]):
                    raise RuntimeError(reasons[0])
                say("Flink empieza otra vez la tarea; si le falta un proceso, lo arranca «up»")
            seen = len(reasons)
    except BaseException:
        with suppress(ServiceError):
            cancel(params, job)
        raise
    if not job.is_complete:
        raise RuntimeError(next(iter(reasons), f"Flink: la tarea «{name}» acabó en {job.state}"))


def jobs(params: Params) -> list[Job]:
    """Return what the JobManager knows of, the newest first.

    Raises:
        ServiceError: it does not answer.
    """
    found = [
        Job(job["jid"], job["name"], job["state"], job["start-time"])
        for job in ask(params, "/jobs/overview")["jobs"]
    ]
    return sorted(found, key=lambda job: job.started, reverse=True)


def now(params: Params, job: Job) -> Job | None:
    """Return a job as it is now; None when the JobManager knows it no more."""
    return next((other for other in jobs(params) if other.id == job.id), None)


def status(params: Params, name: str) -> Job | None:
    """Return the newest job of a name; None when the JobManager knows of none.

    Raises:
        ServiceError: it does not answer.
    """
    return next((job for job in jobs(params) if job.name == name), None)


def stream_name(params: Params) -> str:
    """Return the name of the params' streaming job on the cluster."""
    return f"stream-{params.kafka.topic}-{params.bigquery.dataset}"


def end_unwatched(params: Params, say: Progress) -> None:
    """End the streaming job that whoever sent it left behind, and wait until it has ended.

    Raises:
        ServiceError: the JobManager does not answer, so that nobody knows whether there is one.
    """
    record = state.get(JOB_MANAGER)
    if params.engine.flink_rest == LOCAL and (record is None or record.pid is None):
        return  # its cluster was taken down, and the job with it
    left = status(params, stream_name(params))
    if left is not None and not left.is_over:
        say("En Flink sigue una tarea que nadie vigila: se cancela")
        cancel(params, left)


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


def ask(params: Params, path: str, method: str = "GET") -> dict[str, Any]:
    """Return what the JobManager's REST answers.

    Raises:
        ServiceError: it does not, or with an error.
    """
    where = addresses.address(params.engine.flink_rest, JOB_MANAGER, "rest")
    context = tls.context() if params.engine.flink_rest == LOCAL else None
    return rest.ask(where, path, method, context=context)
