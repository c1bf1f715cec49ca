"""The streaming job on Prism: in this process, which sees all that source and sinks tell."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import apache_beam as beam
import grpc

from ...config.errors import IntegrityError
from ...config.progress import Progress
from ...domain.watermark import Marks
from ...io import answering, kafka
from ...io.bigquery import appending, tables
from ...pipeline import checkpoint, clock, graph
from ...pipeline.job import Job
from ...pipeline.position import Position
from ...pipeline.sinks import positions, rows, same_log
from ...pipeline.source import CREDIT, LogSource, forget
from ...pipeline.steps import Shape
from .. import dead_letters, heartbeats, housekeeping, lag, telemetry
from ..resume import resumed
from . import backlog, cluster, prism
from .attempt import JobError, Order, job_error, last_line, ready

DRAIN_SECONDS = 10.0
"""How long a job that is told to stop may take to write what it has read."""


class PrismAttempt:
    """One run of the job on Prism.

    It has a name of its own: threads that a failed one left behind may still write, and must
    not acknowledge for the next.
    """

    def __init__(self, order: Order, number: int) -> None:
        self._params = order.params
        self._sinks = order.sinks
        self._ends = order.ends
        self._name = f"stream-{order.params.kafka.topic}-{order.params.bigquery.dataset}-{number}"
        self._tracker: checkpoint.Tracker | None = None

    @property
    def windows(self) -> int:
        """How many windows the sinks have acknowledged."""
        return self._tracker.acknowledged_windows if self._tracker is not None else 0

    @property
    def reached(self) -> tuple[Mapping[int, int], Marks] | None:
        """How far the source has read."""
        return None if self._tracker is None else (self._tracker.offsets, self._tracker.marks)

    def run(self, start: Position, stop: threading.Event, say: Progress) -> None:
        """Run as `attempt.Attempt` says."""
        answering.require(self._params)
        if start.job is not None:
            cluster.end_unwatched(self._params, cluster.stream_name(self._params), say)
        start = resumed(self._params, start)
        source = self._source(start, stop)
        # What a run elsewhere wrote counts no more. What one predicted, and could not write, does.
        until = source.shape.single_from or start.backlog_until
        start = replace(start, job=None, backlog_until=until)
        positions.save(self._params, start)
        tracker = checkpoint.Tracker(self._name, start, source.shape, raw=len(self._sinks.raw))
        source = replace(source, job=tracker)
        self._tracker = tracker
        runner = prism.runner()
        try:
            pipeline = beam.Pipeline(runner, prism.options())
            graph.build(pipeline, source, start, self._sinks, self._ends)
            try:
                result = pipeline.run()
            except Exception as error:
                raise JobError(f"Prism no arrancó: {last_line(error)}", outage=True) from error
            with ExitStack() as beside:
                if self._ends is None:
                    beside.enter_context(heartbeats.kept_up(self._params))
                beside.enter_context(telemetry.told(self._params, tracker))
                beside.enter_context(housekeeping.kept(self._params))
                self._wait(result, tracker, stop, say)
        finally:
            runner.stop()
            forget(tracker)

    def _source(self, start: Position, stop: threading.Event) -> LogSource:
        """Return what reads, without its job."""
        known = dead_letters.answered(self._params, start.offsets)
        shape = Shape.of(self._params.windows)
        source = LogSource(Job(self._name), self._params, shape, dead_letters=known, credit=CREDIT)
        return replace(source, shape=backlog.cut(source, start, self._ends, stop.is_set))

    def _wait(
        self, result: Any, tracker: checkpoint.Tracker, stop: threading.Event, say: Progress
    ) -> None:
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
        reported = 0.0
        watch = kafka.Watch(self._params)
        with ready(stop, say):  # after `run`, which installs Prism's own handlers
            while not stopped.wait(0.2):
                if time.monotonic() - reported >= lag.REPORT_SECONDS:
                    reported = time.monotonic()
                    lag.write_report(
                        self._params,
                        tracker.position(),
                        read=tracker.offsets,
                        pending=tracker.pending_windows,
                        unreadable=tracker.unreadable,
                    )
                    log = watch.identity()
                    if log is not None and log != tracker.log:
                        result.cancel()
                        causes = same_log.changes(self._params, log)
                        raise IntegrityError(same_log.explanation(self._params, causes))
                if stop.is_set():
                    tracker.stopping.set()
                    if not stopped.wait(DRAIN_SECONDS):
                        result.cancel()  # a sink is stuck: what it holds is read again
                        return
        if outcome[0] is not None and not stop.is_set():
            raise _job_error(outcome[0]) from outcome[0]
        positions.save(self._params, tracker.position())
        closed = rows.closed_rows(tracker.written_until, clock.now())
        appending.append(self._params, tables.CLOSED, closed)


def _job_error(error: BaseException) -> JobError:
    if isinstance(error, grpc.RpcError):
        return JobError("Prism terminó", outage=True)
    return job_error(error, outage=os.strerror(errno.ENOSPC) in last_line(error))
