"""Engines with workers of their own: what is asked of one, and how a job there is followed.

A job has a name, of which one runs at a time, and outlives the process that submitted it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ...config.errors import ServiceError
from ...config.params import Params
from ...config.progress import Progress, silent
from ...config.references import LOCAL
from ...io import flink as flink_rest
from ...io.local import state

if TYPE_CHECKING:
    import apache_beam as beam

DATAFLOW = "dataflow"
"""The local one, as ``up`` names it."""


@dataclass(frozen=True)
class Run:
    """What an engine keeps with the streaming job, so that another can go on with its work."""

    name: str
    """What the job writes is known by this (`Position.job`)."""
    state: str
    """Digest of what its elements under way, and what its sources remember, depend on."""


class NotUpdatedError(Exception):
    """The engine has no job go on with the work of another; the message says why (one line)."""


class ClusterJob(Protocol):
    """One job, as its engine knows it."""

    @property
    def name(self) -> str:
        """Return its name, of which one runs at a time."""

    @property
    def state(self) -> str:
        """The engine's own word."""

    @property
    def began(self) -> datetime:
        """When the engine took it (UTC)."""

    @property
    def run(self) -> Run | None:
        """Return of which run it is; None where the engine keeps no such thing."""

    @property
    def is_over(self) -> bool:
        """Tell whether it ended, in whichever way."""

    @property
    def is_complete(self) -> bool:
        """Tell whether it ended with its log."""


_Job = TypeVar("_Job", bound=ClusterJob)


class Cluster(Protocol):
    """An engine; modules are these (`flink`, `dataflow`).

    Each raises `ServiceError` where the engine does not answer, or does not do as asked.
    """

    TITLE: str
    """Its name in messages."""
    LOOK_SECONDS: float
    """Between two looks at a job that works."""

    def job_name(self, text: str) -> str:
        """Return the name of a job as the engine allows it, and no other text's."""

    def submit(
        self,
        params: Params,
        name: str,
        build: Callable[[beam.Pipeline], object],
        *,
        bounded: bool = False,
        run: Run | None = None,
        replaced: Any = None,
    ) -> Any:
        """Submit what ``build`` makes of a pipeline, and return the job (`ClusterJob`).

        ``bounded`` is a job that ends by itself; ``run`` is kept with it, where an engine does so;
        and it goes on with the work of a job that is ``replaced``, if that has a run.

        Raises:
            NotUpdatedError: it cannot do that; the other goes on, unless it has ended.
        """

    def status(self, params: Params, name: str) -> Any:
        """Return the newest job of a name; None when the engine knows of none that may run."""

    def counters(self, params: Params, job: Any) -> dict[str, int]:
        """Return what the steps of a job have counted, by name (`pipeline.metrics`)."""

    def now(self, params: Params, job: Any) -> Any:
        """Return a job as it is now; None when the engine knows it no more."""

    def failures(self, params: Params, job: Any) -> list[str]:
        """Return why a job failed each time, the last time first."""

    def finish(self, params: Params, job: Any) -> Any:
        """End a job that did what it was for, and wait until it has ended."""

    def cancel(self, params: Params, job: Any) -> Any:
        """End a job as it is, and wait until it has ended."""


_PLACES: dict[str, tuple[str, str]] = {
    "flink": ("flink_rest", flink_rest.JOB_MANAGER),
    "dataflow": ("dataflow_endpoint", DATAFLOW),
}
"""Of each engine, the parameter that says where it is, and the local service."""


def _engine(name: str) -> Cluster:
    """Return an engine's module. It brings Beam, which takes seconds."""
    from . import dataflow, flink

    engines: dict[str, Cluster] = {"flink": flink, "dataflow": dataflow}
    return engines[name]


def _is_there(params: Params, name: str) -> bool:
    """Tell whether there is an engine to be asked: a local one has been started."""
    parameter, service = _PLACES[name]
    record = state.get(service)
    return params.value(parameter) != LOCAL or (record is not None and record.pid is not None)


def of(params: Params) -> Cluster:
    """Return the engine that the params name.

    Raises:
        KeyError: it has no workers of its own.
    """
    return _engine(params.engine.runner)


def stream_name(params: Params) -> str:
    """Return what names the params' streaming job, before its engine's `Cluster.job_name`."""
    return f"stream-{params.kafka.topic}-{params.bigquery.dataset}"


@dataclass(frozen=True)
class RunningJob:
    """The streaming job, as the engine says that it is."""

    engine: str
    """Its title."""
    name: str
    state: str
    """The engine's own word."""
    began: datetime
    counters: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self) | {"began": self.began.isoformat()}


def running(params: Params) -> RunningJob | None:
    """Return the params' streaming job, on whichever engine it runs; None where it runs on none.

    Raises:
        ServiceError: an engine does not answer.
    """
    for engine, job in active(params, stream_name(params)):
        counted = engine.counters(params, job)
        return RunningJob(engine.TITLE, job.name, job.state, job.began, counted)
    return None


def end_unwatched(params: Params, name: str, say: Progress) -> None:
    """End the job that whoever sent it left behind, on whichever engine, and wait until it ended.

    Raises:
        ServiceError: an engine does not answer, so that nobody knows whether there is one; or the
            job does not end.
    """
    for engine, job in active(params, name):
        _cancel_unwatched(params, engine, job, say)


def left_behind(params: Params, name: str, run: Run, say: Progress) -> Any:
    """Return the job that whoever sent it left behind, if another can go on with its work.

    Else it is ended as `end_unwatched` does; one that wrote what there is, by another cut of the
    work, works off what it has read.

    Args:
        params: where engines are.
        name: of the job.
        run: that is to go on.
        say: takes a line of progress in Spanish.

    Raises:
        ServiceError: as `end_unwatched`.
    """
    left = None
    for engine, job in active(params, name):
        if job.run == run and job.state == "RUNNING":
            left = job
        elif job.run is not None and job.run.name == run.name:
            say(f"En {engine.TITLE} sigue una tarea que otra no puede continuar: se vacía")
            engine.finish(params, job)
        else:
            _cancel_unwatched(params, engine, job, say)
    return left


def _cancel_unwatched(params: Params, engine: Cluster, job: Any, say: Progress) -> None:
    say(f"En {engine.TITLE} sigue una tarea que nadie vigila: se cancela")
    engine.cancel(params, job)


def active(params: Params, name: str) -> Iterator[tuple[Cluster, Any]]:
    """Yield the jobs of a name that have not ended, each after its engine.

    Raises:
        ServiceError: an engine does not answer.
    """
    for runner in _PLACES:
        if _is_there(params, runner):  # else it was taken down, and its jobs with it
            engine = _engine(runner)
            job = engine.status(params, engine.job_name(name))
            if job is not None and not job.is_over:
                yield engine, job


def run(
    params: Params,
    runner: str,
    name: str,
    build: Callable[[beam.Pipeline], object],
    is_final: Callable[[str], bool],
    say: Progress = silent,
) -> None:
    """Run a job that ends by itself, and wait for it. It is cancelled when the wait is interrupted.

    One of that name that is left, because nobody could cancel it, is ended before. The engine
    begins the job again when a process dies, as soon as it has what it needs.

    Args:
        params: where the engine is.
        runner: which it is, as parameters name it.
        name: of the job.
        build: puts the graph into a pipeline.
        is_final: whether beginning again would not help, by the text of a failure.
        say: takes a line of progress in Spanish.

    Raises:
        RuntimeError: the job failed; the text holds the traceback of the step.
        ServiceError: the engine is not up, does not take the job or loses it.
    """
    engine = _engine(runner)
    title = engine.TITLE
    end_unwatched(params, name, say)
    job = engine.submit(params, engine.job_name(name), build, bounded=True)
    reasons: list[str] = []
    seen = 0
    try:
        while not job.is_over:
            time.sleep(engine.LOOK_SECONDS)
            found = engine.now(params, job)
            if found is None:
                raise ServiceError(f"{title} ya no sabe de la tarea «{name}»: repite la orden.")
            job, reasons = found, engine.failures(params, found)
            if len(reasons) > seen and not job.is_over:
                if is_final(reasons[0]):
                    raise RuntimeError(reasons[0])
                say(f"{title} empieza otra vez la tarea; si le falta un proceso, lo arranca «up»")
            seen = len(reasons)
    except BaseException:
        with suppress(ServiceError):
            engine.cancel(params, job)
        raise
    if not job.is_complete:
        raise RuntimeError(next(iter(reasons), f"{title}: la tarea «{name}» acabó en {job.state}"))


def await_end(
    look: Callable[[], _Job | None], job: _Job, title: str, timeout: float, pause: float
) -> _Job:
    """Wait until a job has ended, and return it as it is then.

    Args:
        look: returns the job as it is now; None when its engine knows it no more.
        job: as it was.
        title: of the engine, in the message.
        timeout: seconds that it has.
        pause: seconds between two looks.

    Raises:
        ServiceError: it does not end in that time.
    """
    deadline = time.monotonic() + timeout
    while True:
        found = look()
        if found is None or found.is_over:
            return found or job
        if time.monotonic() > deadline:
            raise ServiceError(
                f"La tarea «{job.name}» no termina en {title}: está en {found.state}."
            )
        time.sleep(pause)
