"""What the job asks of an engine with workers of its own, and which engine that is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import apache_beam as beam

from ...config.errors import ServiceError
from ...config.params import Params
from ...config.progress import Progress


class ClusterJob(Protocol):
    """One job, as its engine knows it."""

    @property
    def name(self) -> str:
        """Return its name, of which one runs at a time."""

    @property
    def state(self) -> str:
        """The engine's own word."""

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

    def stream_name(self, params: Params) -> str:
        """Return the name of the params' streaming job."""

    def end_unwatched(self, params: Params, say: Progress) -> None:
        """End the streaming job that whoever sent it left behind, and wait until it has ended."""

    def submit(self, params: Params, name: str, build: Callable[[beam.Pipeline], object]) -> Any:
        """Submit what ``build`` makes of a pipeline, and return the job (`ClusterJob`)."""

    def now(self, params: Params, job: Any) -> Any:
        """Return a job as it is now; None when the engine knows it no more."""

    def failures(self, params: Params, job: Any) -> list[str]:
        """Return why a job failed each time, the last time first."""

    def finish(self, params: Params, job: Any) -> Any:
        """End a job that did what it was for, and wait until it has ended."""

    def cancel(self, params: Params, job: Any) -> Any:
        """End a job as it is, and wait until it has ended."""


def _engines() -> dict[str, Cluster]:
    from . import dataflow, flink

    return {"flink": flink, "dataflow": dataflow}


def of(params: Params) -> Cluster:
    """Return the engine that the params name.

    Raises:
        KeyError: it has no workers of its own.
    """
    return _engines()[params.engine.runner]


def end_unwatched(params: Params, say: Progress) -> None:
    """End the streaming job that whoever sent it left behind, on whichever engine.

    Raises:
        ServiceError: an engine does not answer, so that nobody knows whether there is one.
    """
    for engine in _engines().values():
        engine.end_unwatched(params, say)


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
