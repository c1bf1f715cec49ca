"""One run of the streaming job on an engine, and what every engine's has in common."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

from ...config import errors, paths
from ...config.params import Params
from ...config.progress import Progress
from ...domain.watermark import Marks
from ...pipeline import graph
from ...pipeline.position import Position

_TOLD = re.compile(
    rf"{re.escape(errors.__name__)}\.(?P<kind>\w+): (?P<message>.*?)(?: \[while running .*)?$"
)


class JobError(Exception):
    """The job ended by an error; the message is one line."""

    def __init__(self, message: str, *, outage: bool) -> None:
        super().__init__(message)
        self.outage = outage
        """Whether something that the job needs is away: trying again may be all it takes."""


@dataclass(frozen=True)
class Order:
    """What is to be run.

    Attributes:
        params: whose job.
        sinks: where results go.
        ends: per partition, where to stop; None goes on for ever.
    """

    params: Params
    sinks: graph.Sinks
    ends: Mapping[int, int] | None


class Attempt(Protocol):
    """One run of the job, from a position to its end, to a signal or to its failure."""

    @property
    def windows(self) -> int:
        """How many windows it has written."""

    @property
    def reached(self) -> tuple[Mapping[int, int], Marks] | None:
        """How far it has come: next records and marks; None where it has not begun."""

    def run(self, start: Position, stop: threading.Event, say: Progress) -> None:
        """Run until ``stop`` is set or the ends are reached.

        Raises:
            JobError: it ended by an error.
            IntegrityError: beginning again would not help.
        """


def ready_file() -> Path:
    """Return the file that exists while a streaming job of this checkout runs."""
    return paths.state_dir() / "run" / "stream.ready"


@contextmanager
def ready(stop: threading.Event, say: Progress) -> Iterator[None]:
    """Say that the job runs, for as long as the block does; a signal sets ``stop``."""
    if threading.current_thread() is threading.main_thread():

        def handle(number: int, frame: FrameType | None) -> None:
            stop.set()

        signal.signal(signal.SIGINT, handle)
        signal.signal(signal.SIGTERM, handle)
    path = ready_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    say("El streaming está en marcha")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def last_line(error: BaseException | str) -> str:
    """Return the exception line of a worker's traceback, which Beam gives as text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    raised = [line for line in lines if "Error: " in line or "Exception: " in line]
    line = (raised or lines or [type(error).__name__])[-1]
    return line.partition(" [while running ")[0][:500]


def told(failure: BaseException | str) -> errors.UserError | None:
    """Return the error that a step raised for the user, if it did; a runner tells it as text."""
    for line in reversed(str(failure).splitlines()):
        found = _TOLD.search(line)
        kind = getattr(errors, found["kind"], None) if found else None
        if found and isinstance(kind, type) and issubclass(kind, errors.UserError):
            return kind(found["message"])
    return None


def job_error(failure: BaseException | str, *, outage: bool = False) -> JobError:
    """Say in one line what ended the job.

    Raises:
        IntegrityError: that did, and trying again would not help.
    """
    error = told(failure)
    if isinstance(error, errors.IntegrityError):
        raise error
    if error is not None:
        return JobError(str(error), outage=isinstance(error, errors.ServiceError))
    return JobError(last_line(failure), outage=outage)
