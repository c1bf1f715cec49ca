"""The streaming job: the graph on Prism, from the saved position, for ever or until caught up."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

import apache_beam as beam

from .. import paths, topic, warehouse
from ..errors import ServiceError
from ..params import Params
from ..pipeline import graph, progress
from ..pipeline.marks import watermark
from ..pipeline.source import CREDIT, LogSource
from ..sinks import positions
from ..sinks.archive import ArchiveSink
from ..sinks.dead_letters import DeadLettersSink
from ..sinks.mongo import OperationalSink
from ..sinks.warehouse import EventsSink, HeartbeatsSink
from ..sinks.windows import LiveWindows
from . import dead_letters, lag, prism
from .bounded import shape_of

FLUSH_SECONDS = 1.0
"""Raw sinks write this often: rows of less than a second would be many small appends."""
DRAIN_SECONDS = 10.0
"""How long a job that is told to stop may take to write what it has read."""
ATTEMPTS = 5
"""Failures in a row, with no window written between them, before the job gives up."""

_log = logging.getLogger(__name__)
Say = Callable[[str], None]


@dataclass(frozen=True)
class StreamSummary:
    """What a streaming run did before it stopped."""

    windows: int
    records: int
    watermark: datetime | None
    restarts: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self) | {"watermark": self.watermark and self.watermark.isoformat()}


class JobError(Exception):
    """The job raised; the message is its last line."""


def ready_file() -> Path:
    """Return the file that exists while a streaming job of this checkout runs."""
    return paths.state_dir() / "run" / "stream.ready"


def live_sinks(params: Params) -> graph.Sinks:
    """Return all sinks of the live job."""
    return graph.Sinks(
        [
            ArchiveSink(params, FLUSH_SECONDS),
            DeadLettersSink(params, FLUSH_SECONDS),
            EventsSink(params, FLUSH_SECONDS),
            HeartbeatsSink(params, FLUSH_SECONDS),
            OperationalSink(params, FLUSH_SECONDS),
        ],
        LiveWindows(params),
    )


def run(
    params: Params,
    *,
    until_caught_up: bool = False,
    say: Say = lambda _: None,
    sinks: graph.Sinks | None = None,
) -> StreamSummary:
    """Run until a signal (or, with ``until_caught_up``, until the log of now is answered for).

    A failed job is started again from the saved position, as often as it makes headway.

    Raises:
        ServiceError: a service does not answer, or the job failed ``ATTEMPTS`` times in a row.
    """
    began = time.monotonic()
    topic.ensure_topic(params)
    warehouse.ensure_dataset(params)
    ends = {p: high for p, (_, high) in topic.offsets(params).items()} if until_caught_up else None
    stop = threading.Event()
    windows = restarts = failures = 0
    while True:
        attempt = _Attempt(params, sinks or live_sinks(params), ends)
        try:
            attempt.run(stop, say)
        except JobError as failure:
            windows += attempt.progress.acknowledged_windows
            failures = 1 if attempt.progress.acknowledged_windows else failures + 1
            if failures >= ATTEMPTS:
                raise ServiceError(f"La tarea de streaming falló: {failure}") from failure
            restarts += 1
            say(f"La tarea falló ({failure}); se reanuda desde el registro")
            if stop.wait(min(2.0**failures / 4, 5.0)):
                break
            continue
        windows += attempt.progress.acknowledged_windows
        break
    return StreamSummary(
        windows,
        sum(attempt.progress.offsets.values()) - sum(attempt.start.offsets.values()),
        watermark(attempt.progress.marks, params.allowed_lateness),
        restarts,
        time.monotonic() - began,
    )


class _Attempt:
    """One run of the job, from the saved position."""

    def __init__(self, params: Params, sinks: graph.Sinks, ends: Mapping[int, int] | None) -> None:
        self._params = params
        self._sinks = sinks
        self._ends = ends
        self._job = f"stream-{params.topic}-{params.dataset}"
        self.start = self._starting_position()
        shape = shape_of(params, pane=1)
        self.progress = progress.Progress(
            self.start, shape.windowing, shape.lags, shape.shards, raw=len(sinks.raw)
        )
        letters = dead_letters.answered(params, self.start.offsets)
        self._source = LogSource(self._job, params, shape, letters=letters, credit=CREDIT)

    def _starting_position(self) -> progress.Position:
        lows = {p: low for p, (low, _) in topic.offsets(self._params).items()}
        saved = positions.load(self._params)
        if saved is None:
            return progress.start_of_log(lows)
        if set(saved.offsets) != set(lows):
            raise ServiceError(
                f"El tema {self._params.topic} tiene {len(lows)} particiones y la posición "
                f"guardada {len(saved.offsets)}. Procésalo entero: «spotify-mlops replay»."
            )
        return saved

    def run(self, stop: threading.Event, say: Say) -> None:
        progress.register(self._job, self.progress)
        pipeline = beam.Pipeline(prism.runner(), prism.options())
        graph.build(pipeline, self._source, self.start, self._sinks, self._ends)
        result = pipeline.run()
        self._stop_on_signals(stop)
        outcome: list[BaseException | None] = []

        def wait() -> None:
            try:
                result.wait_until_finish()
                outcome.append(None)
            except BaseException as error:  # handed to the caller below
                outcome.append(error)
            stopped.set()

        stopped = threading.Event()
        threading.Thread(target=wait, name="job", daemon=True).start()
        ready = ready_file()
        ready.parent.mkdir(parents=True, exist_ok=True)
        ready.touch()
        say("El streaming está en marcha")
        reported = 0.0
        try:
            while not stopped.wait(0.2):
                if time.monotonic() - reported >= lag.REPORT_SECONDS:
                    reported = time.monotonic()
                    lag.write_report(self._params, self.progress)
                if stop.is_set():
                    self.progress.stopping.set()
                    if not stopped.wait(DRAIN_SECONDS):
                        result.cancel()  # a sink is stuck: what it holds is read again
                        return
        finally:
            ready.unlink(missing_ok=True)
        if outcome[0] is not None and not stop.is_set():
            raise JobError(_last_line(outcome[0])) from outcome[0]
        positions.save(self._params, self.progress.position())

    def _stop_on_signals(self, stop: threading.Event) -> None:
        """Install handlers; after ``run``, which installs Prism's own."""
        if threading.current_thread() is not threading.main_thread():
            return

        def handle(number: int, frame: FrameType | None) -> None:
            stop.set()

        signal.signal(signal.SIGINT, handle)
        signal.signal(signal.SIGTERM, handle)


def _last_line(error: BaseException) -> str:
    """Return the exception line of the worker's traceback, which Beam gives as text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    raised = [line for line in lines if "Error: " in line or "Exception: " in line]
    return (raised or lines or [type(error).__name__])[-1][:500]
