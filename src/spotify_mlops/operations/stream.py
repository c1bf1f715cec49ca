"""The streaming job: the graph on Prism, from the saved position, for ever or until caught up."""

from __future__ import annotations

import errno
import logging
import os
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

import apache_beam as beam
import grpc

from ..config import paths
from ..config.errors import IntegrityError, ParamsError, ServiceError, is_full_disk, is_outage
from ..config.params import Params
from ..config.progress import Progress, silent
from ..io import answering, kafka
from ..io.bigquery import appending, tables, warehouse
from ..io.local import health
from ..model.promotions import PromotionHistory
from ..pipeline import checkpoint, clock, graph
from ..pipeline.position import Position, start_of_log
from ..pipeline.sinks import positions, rows, same_log
from ..pipeline.sinks.archive import ArchiveSink
from ..pipeline.sinks.dead_letters import DeadLettersSink
from ..pipeline.sinks.mongo import OperationalSink
from ..pipeline.sinks.warehouse import AppendSink
from ..pipeline.sinks.windows import LiveWindows
from ..pipeline.source import CREDIT, LogSource, forget
from ..pipeline.steps import Shape
from ..pipeline.watermark import watermark
from . import dead_letters, housekeeping, lag, prism, telemetry

FLUSH_SECONDS = 1.0
"""Raw sinks write this often: rows of less than a second would be many small appends."""
DRAIN_SECONDS = 10.0
"""How long a job that is told to stop may take to write what it has read."""
ATTEMPTS = 5
"""Failures in a row, with no window written between them, before the job gives up."""
BACKOFF_SECONDS = 15.0
"""The longest pause before a job that failed again and again is started once more."""

_log = logging.getLogger(__name__)


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
    """The job ended by an error; the message is one line."""

    def __init__(self, message: str, *, outage: bool) -> None:
        super().__init__(message)
        self.outage = outage
        """Whether something that the job needs is away: trying again may be all it takes."""


def ready_file() -> Path:
    """Return the file that exists while a streaming job of this checkout runs."""
    return paths.state_dir() / "run" / "stream.ready"


def live_sinks(params: Params) -> graph.Sinks:
    """Return all sinks of the live job."""
    return graph.Sinks(
        [
            ArchiveSink(params, FLUSH_SECONDS),
            DeadLettersSink(params, FLUSH_SECONDS),
            *(AppendSink(params, FLUSH_SECONDS, each) for each in rows.of_records(params.windows)),
            OperationalSink(params, FLUSH_SECONDS),
        ],
        LiveWindows(params),
    )


def run(
    params: Params,
    *,
    until_caught_up: bool = False,
    say: Progress = silent,
    sinks: graph.Sinks | None = None,
) -> StreamSummary:
    """Run until a signal (or, with ``until_caught_up``, until the log of now is answered for).

    A job that fails is started again from the saved position. One that goes on for ever waits
    as long as a service is away or a sink refuses; what else fails, and what fails on the way to
    being caught up, is tried ``ATTEMPTS`` times without headway.

    Raises:
        ParamsError: the params ask for another engine than Prism.
        ServiceError: a service does not answer at the start, the job failed as said, or another
            process writes the same tables.
        IntegrityError: the log has lost records that are still to be read, or is another one
            than the position and the archive speak of.
    """
    if params.engine.runner != "prism":
        raise ParamsError(
            f"engine_runner es «{params.engine.runner}», y la tarea en directo corre por ahora "
            "solo en Prism: usa «--set engine_runner=prism». En Flink corren las repeticiones "
            "(«spotify-mlops replay --runner flink»)."
        )
    with positions.exclusive(params):
        kafka.ensure_topic(params)
        warehouse.ensure_dataset(params, fills=True)
        # Refused here it is one line, and in a worker Beam's traceback.
        PromotionHistory(params).periods()
        ends = {p: high for p, (_, high) in kafka.offsets(params).items()}
        target = ends if until_caught_up else None
        return _run(params, target, _where_possible(say), sinks or live_sinks(params))


def _where_possible(say: Progress) -> Progress:
    """Say what can be said: a log may be on the disk that is full, which is no reason to end."""

    def attempt(message: str) -> None:
        try:
            say(message)
        except OSError as error:
            if not is_full_disk(error):
                raise

    return attempt


def _run(
    params: Params, ends: Mapping[int, int] | None, say: Progress, sinks: graph.Sinks
) -> StreamSummary:
    began = time.monotonic()
    start = _starting_position(params)
    offsets, marks = start.offsets, start.marks
    stop = threading.Event()
    windows = restarts = failures = 0
    while not stop.is_set():
        attempt = _Attempt(params, sinks, ends, restarts)
        try:
            attempt.run(_starting_position(params) if restarts else start, stop, say)
            break
        except IntegrityError:
            with suppress(ServiceError):
                same_log.check(params)  # of another log it says more than that records are gone
            raise
        except Exception as failure:
            outage = failure.outage if isinstance(failure, JobError) else is_outage(failure)
            if not (outage or isinstance(failure, JobError)):
                raise
            failures = 0 if attempt.windows else failures
            failures += 1
            lasting = ends is None and outage
            if failures >= ATTEMPTS and not lasting:
                raise ServiceError(f"La tarea de streaming falló: {failure}") from failure
            restarts += 1
            say(
                f"La tarea falló ({failure}); se reanuda desde el registro. "
                f"{health.shortage()}".rstrip()
            )
            stop.wait(min(2.0**failures / 4, BACKOFF_SECONDS))
        finally:
            windows += attempt.windows
            if attempt.progress is not None:
                offsets, marks = attempt.progress.offsets, attempt.progress.marks
    return StreamSummary(
        windows,
        sum(offsets.values()) - sum(start.offsets.values()),
        watermark(marks, params.windows.allowed_lateness),
        restarts,
        time.monotonic() - began,
    )


def _starting_position(params: Params) -> Position:
    log = same_log.check(params)
    lows = {p: low for p, (low, _) in kafka.offsets(params).items()}
    saved = positions.load(params)
    if saved is None:
        return start_of_log(lows, log)
    if set(saved.offsets) != set(lows):
        raise ServiceError(
            f"El tema {params.kafka.topic} tiene {len(lows)} particiones y la posición "
            f"guardada {len(saved.offsets)}. Procésalo entero: «spotify-mlops replay»."
        )
    return replace(saved, log=log)


class _Attempt:
    """One run of the job.

    It has a name of its own: threads that a failed one left behind may still write, and must
    not acknowledge for the next.
    """

    def __init__(
        self, params: Params, sinks: graph.Sinks, ends: Mapping[int, int] | None, number: int
    ) -> None:
        self._params = params
        self._sinks = sinks
        self._ends = ends
        self._name = f"stream-{params.kafka.topic}-{params.bigquery.dataset}-{number}"
        self.progress: checkpoint.Tracker | None = None

    @property
    def windows(self) -> int:
        """How many windows the sinks have acknowledged."""
        return self.progress.acknowledged_windows if self.progress is not None else 0

    def run(self, start: Position, stop: threading.Event, say: Progress) -> None:
        answering.require(self._params)
        shape = Shape.of(self._params.windows)
        tracked = checkpoint.Tracker(
            self._name, start, shape.windowing, shape.lags, shape.shards, raw=len(self._sinks.raw)
        )
        self.progress = tracked
        runner = prism.runner()
        try:
            pipeline = beam.Pipeline(runner, prism.options())
            known = dead_letters.answered(self._params, start.offsets)
            source = LogSource(tracked, self._params, shape, dead_letters=known, credit=CREDIT)
            graph.build(pipeline, source, start, self._sinks, self._ends)
            try:
                result = pipeline.run()
            except Exception as error:
                raise JobError(f"Prism no arrancó: {_last_line(error)}", outage=True) from error
            with telemetry.told(self._params, tracked), housekeeping.kept(self._params):
                self._wait(result, tracked, stop, say)
        finally:
            runner.stop()
            forget(tracked)

    def _wait(
        self, result: Any, tracked: checkpoint.Tracker, stop: threading.Event, say: Progress
    ) -> None:
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
        watch = kafka.Watch(self._params)
        try:
            while not stopped.wait(0.2):
                if time.monotonic() - reported >= lag.REPORT_SECONDS:
                    reported = time.monotonic()
                    lag.write_report(self._params, tracked)
                    log = watch.identity()
                    if log is not None and log != tracked.log:
                        result.cancel()
                        causes = same_log.changes(self._params, log)
                        raise IntegrityError(same_log.explanation(self._params, causes))
                if stop.is_set():
                    tracked.stopping.set()
                    if not stopped.wait(DRAIN_SECONDS):
                        result.cancel()  # a sink is stuck: what it holds is read again
                        return
        finally:
            ready.unlink(missing_ok=True)
        if outcome[0] is not None and not stop.is_set():
            raise _job_error(outcome[0])
        positions.save(self._params, tracked.position())
        closed = rows.closed_rows(tracked.written_until, clock.now())
        appending.append(self._params, tables.CLOSED, closed)

    def _stop_on_signals(self, stop: threading.Event) -> None:
        """Install handlers; after ``run``, which installs Prism's own."""
        if threading.current_thread() is not threading.main_thread():
            return

        def handle(number: int, frame: FrameType | None) -> None:
            stop.set()

        signal.signal(signal.SIGINT, handle)
        signal.signal(signal.SIGTERM, handle)


def _job_error(error: BaseException) -> JobError:
    """Say in one line what ended the job.

    Raises:
        IntegrityError: that did, and trying again would not help.
    """
    if isinstance(error, grpc.RpcError):
        return JobError("Prism terminó", outage=True)
    line = _last_line(error)
    name, _, reason = line.partition(": ")
    if name.endswith(IntegrityError.__name__):
        raise IntegrityError(reason) from error
    if name.endswith(ServiceError.__name__):
        return JobError(reason, outage=True)
    return JobError(line, outage=os.strerror(errno.ENOSPC) in line)


def _last_line(error: BaseException) -> str:
    """Return the exception line of the worker's traceback, which Beam gives as text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    raised = [line for line in lines if "Error: " in line or "Exception: " in line]
    line = (raised or lines or [type(error).__name__])[-1]
    return line.partition(" [while running ")[0][:500]
