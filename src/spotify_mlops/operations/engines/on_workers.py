"""The streaming job on an engine with workers of its own: sent there and watched from here.

It goes on there whatever happens to this process, and the engine takes it up again when one of its
own dies. One that nobody watches is updated, where the engine can do that and the graph allows it:
another job goes on with its work. Else, or when the engine has lost it, it is sent again, and the
log says from where.
"""

from __future__ import annotations

import threading
import time
import uuid
import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial

from ...config.errors import IntegrityError, ServiceError, is_outage, one_line
from ...config.progress import Progress
from ...domain.watermark import Marks, watermark
from ...domain.windows import Windowing
from ...io import answering, kafka
from ...io.bigquery import appending, tables
from ...io.mongo.clients import database as mongo_database
from ...pipeline import clock, graph
from ...pipeline.checkpoint import WrittenWindow
from ...pipeline.job import Job
from ...pipeline.position import Position
from ...pipeline.restriction import LogPosition
from ...pipeline.sinks import mongo, positions, rows, same_log
from ...pipeline.source import LogSource
from ...pipeline.steps import Shape
from .. import dead_letters, heartbeats, housekeeping, lag, telemetry
from ..resume import resumed
from . import cluster
from .attempt import JobError, Order, job_error, ready, told

SAVE_SECONDS = 2.0
"""Between two looks at what it has written, and at least ``_REST`` times as long as one took."""
_REST = 3.0


class WorkersAttempt:
    """One run of the job on such an engine."""

    def __init__(self, order: Order) -> None:
        self._params = order.params
        self._sinks = order.sinks
        self._ends = order.ends
        self._cluster = cluster.of(order.params)
        self._start: Position | None = None
        self._position: Position | None = None
        self._pruned: datetime | None = None

    @property
    def windows(self) -> int:
        """How many windows it has written, those without a row too."""
        if self._start is None or self._position is None:
            return 0
        first, following = self._start.write_from, self._position.write_from
        return 0 if not first or not following else (following - first) // self._windowing.length

    @property
    def reached(self) -> tuple[Mapping[int, int], Marks] | None:
        """How far the raw sinks have come."""
        found = self._position
        return None if found is None else (found.acknowledged, found.acknowledged_marks)

    @property
    def written_until(self) -> datetime | None:
        """All windows that end by then are written; None if unknown."""
        return None if self._position is None else self._position.write_from

    def take_written(self) -> Sequence[WrittenWindow]:
        """Nothing: when a window was closed is known to the workers alone."""
        return ()

    @property
    def _windowing(self) -> Windowing:
        return Windowing.of(self._params.windows)

    def run(self, start: Position, stop: threading.Event, say: Progress) -> None:
        """Run as `attempt.Attempt` says."""
        answering.require(self._params)
        name = cluster.stream_name(self._params)
        left = cluster.left_behind(self._params, name, self._run_of(start), say)
        with ExitStack() as beside:
            if self._ends is None:
                beside.enter_context(heartbeats.kept_up(self._params))
            beside.enter_context(ready(stop, say))
            job = None if left is None else self._updated(left, start, say)
            if job is None:
                job = self._sent(start, stop, say)
            if job is not None:
                beside.enter_context(telemetry.told(self._params, self))
                beside.enter_context(housekeeping.kept(self._params))
                self._follow(job, stop, say)
        self._pruned = None  # what a bundle wrote again after a death may be too old to be kept
        self._advance()
        closed = rows.closed_rows(self.written_until, clock.now())
        appending.append(self._params, tables.CLOSED, closed)

    def _updated(
        self, left: cluster.ClusterJob, start: Position, say: Progress
    ) -> cluster.ClusterJob | None:
        """Have a job of this graph go on with the work of one that is left; None if it cannot.

        Its run stays the same, and so what it has written counts. Its sources go on where the
        other's are, whatever is said of ``offsets`` and ``marks`` here: the engine begins none
        anew. By ``acknowledged`` and ``write_from`` the new graph leaves out what the other had
        written when it was asked; what it wrote since is past the sources, or is written twice
        and shown once. Rows under way are of windows from ``write_from`` on.
        """
        start = resumed(self._params, start)
        assert start.job is not None
        source = self._source(start, start.job)
        self._begin(source, start)
        say(f"En {self._cluster.TITLE} sigue una tarea que nadie vigila: se actualiza")
        try:
            return self._send(source, start, left)
        except cluster.NotUpdatedError as refused:
            say(
                f"{self._cluster.TITLE} no la actualiza ({refused}): se vacía, y otra empieza "
                "desde el registro"
            )
            self._cluster.finish(self._params, left)
            return None

    def _sent(
        self, start: Position, stop: threading.Event, say: Progress
    ) -> cluster.ClusterJob | None:
        """Have the engine do it from the log on; None where nothing is left to be done."""
        start = resumed(self._params, start)
        source = self._source(start, f"stream-{uuid.uuid4().hex[:12]}")
        if start.write_from is None:
            say("Buscando la primera ventana: hace falta un registro de cada partición")
            whole = LogPosition.at(start.offsets, start.marks, self._ends)
            start = replace(start, write_from=source.floor(whole, stop.is_set))
        start = self._begin(source, start)
        if stop.is_set() or self._is_complete(start):
            return None
        say(f"Enviando la tarea a {self._cluster.TITLE}")
        return self._send(source, start)

    def _send(
        self, source: LogSource, start: Position, left: cluster.ClusterJob | None = None
    ) -> cluster.ClusterJob:
        build = partial(graph.build, source=source, start=start, sinks=self._sinks, ends=self._ends)
        name = self._cluster.job_name(cluster.stream_name(self._params))
        run = self._run_of(start)
        job: cluster.ClusterJob = self._cluster.submit(
            self._params, name, build, run=run, replaced=left
        )
        return job

    def _follow(self, job: cluster.ClusterJob, stop: threading.Event, say: Progress) -> None:
        """See to a job, to the end or to a signal."""
        try:
            self._watch(job, stop, say)
        except BaseException:
            with suppress(ServiceError):  # of an engine that is away nothing goes on
                self._cluster.cancel(self._params, job)
            raise
        self._cluster.finish(self._params, job)

    def _sources(self, start: Position) -> int:
        return min(self._params.engine.sources, len(start.offsets))

    def _source(self, start: Position, name: str) -> LogSource:
        known = dead_letters.answered(self._params, start.offsets)
        shape = Shape.of(self._params.windows, sources=self._sources(start))
        return LogSource(Job(name), self._params, shape, dead_letters=known)

    def _run_of(self, start: Position) -> cluster.Run:
        """Return what a job and one that goes on with its work have in common."""
        ends = sorted(self._ends.items()) if self._ends is not None else None
        parts = (self._params.windows.model_dump_json(), self._sources(start), ends)
        return cluster.Run(start.job or "", f"{zlib.crc32(repr(parts).encode()):08x}")

    def _begin(self, source: LogSource, start: Position) -> Position:
        """Save where the run begins, or goes on: what it writes goes on from there."""
        start = replace(
            start,
            job=source.job.name,
            acknowledged=start.held,
            acknowledged_marks=start.held_marks,
        )
        self._start = self._position = start
        positions.save(self._params, start)
        return start

    def _watch(self, job: cluster.ClusterJob, stop: threading.Event, say: Progress) -> None:
        title = self._cluster.TITLE
        watch = kafka.Watch(self._params)
        failures = 0
        due = time.monotonic() + SAVE_SECONDS
        while not stop.wait(self._cluster.LOOK_SECONDS):
            found = self._cluster.now(self._params, job)
            if found is None:
                raise JobError(f"{title} ya no sabe de la tarea", outage=True)
            reasons = self._cluster.failures(self._params, found)
            if len(reasons) > failures:
                failures = len(reasons)
                self._check(reasons[0])
                say(f"{title} repite lo que falló de la tarea")
            if found.is_over and not found.is_complete:
                raise job_error(next(iter(reasons), f"{title}: la tarea acabó en {found.state}"))
            if (began := time.monotonic()) >= due:
                self._try_to_advance(say)
                due = time.monotonic() + max(SAVE_SECONDS, _REST * (time.monotonic() - began))
                self._check_log(watch)
                if self._position is not None and self._is_complete(self._position):
                    return
                if found.is_over:
                    raise JobError(f"la tarea acabó en {title} antes que el registro", outage=False)

    def _check(self, failure: str) -> None:
        """Refuse to go on where beginning again would not help."""
        error = told(failure)
        if isinstance(error, IntegrityError):
            raise error

    def _check_log(self, watch: kafka.Watch) -> None:
        log = watch.identity()
        if log is not None and self._position is not None and log != self._position.log:
            causes = same_log.changes(self._params, log)
            raise IntegrityError(same_log.explanation(self._params, causes))

    def _try_to_advance(self, say: Progress) -> None:
        """Look at what the job has written, if the stores answer: it waits for them itself."""
        try:
            self._advance()
        except Exception as error:
            if not is_outage(error):
                raise
            say(f"No se sabe cuánto ha escrito la tarea: {one_line(error)}")

    def _advance(self) -> None:
        """Look at what the job has written, and do what that allows."""
        assert self._position is not None
        self._position = resumed(self._params, self._position)
        positions.save(self._params, self._position)
        lag.write_report(self._params, self._position)
        reached = watermark(
            self._position.acknowledged_marks, self._params.windows.allowed_lateness
        )
        oldest = mongo.kept_from(reached, self._params.windows.operational_retention)
        if oldest != self._pruned:
            mongo.prune_events(mongo_database(self._params), oldest)
            self._pruned = oldest

    def _is_complete(self, position: Position) -> bool:
        """Tell whether all that there is up to the ends is answered for."""
        if self._ends is None:
            return False
        if any(position.acknowledged.get(p, 0) < end for p, end in self._ends.items()):
            return False
        marks = {p: position.acknowledged_marks.get(p) for p in self._ends}
        reached = watermark(marks, self._params.windows.allowed_lateness)
        following = None if reached is None else self._windowing.start(reached)
        return following is None or (
            position.write_from is not None and position.write_from >= following
        )
