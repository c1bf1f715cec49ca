"""The source: one element that reads all partitions and reports the log's own watermark."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import apache_beam as beam
import polars as pl
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.pvalue import DoOutputsTuple
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import MIN_TIMESTAMP, Duration, Timestamp

from ..config.params import Params
from ..config.sections import Stream
from ..domain.events import Kind
from ..domain.windows import EPOCH
from ..io.patches import interpreter
from . import checkpoint, metrics, steps
from .archive_reader import ArchiveReader
from .kafka_reader import KafkaReader
from .prefetch import Prefetcher, Reader
from .restriction import LogPosition, LogProvider
from .transforms import ByKey, stamped, typed
from .watermark import Marks, mark, rows_until, watermark

CHECKPOINT_SECONDS = 0.1
"""Output leaves at a checkpoint, so this bounds the latency that the source adds."""
REST_SECONDS = 0.2
"""A source that closed a window, and has nothing else waiting in the log, leaves the machine to
that window for so long; what arrives meanwhile is one large batch."""
CREDIT = 2
"""The live job's `LogSource.credit`."""


_readers: dict[str, tuple[dict[int, int], Prefetcher]] = {}
"""Open readers by job and where they are: kept across checkpoints, a fresh consumer costs more."""

CLOSED = "closed"


@dataclass(frozen=True)
class LogSource:
    """What to read and how.

    Attributes:
        job: whose `checkpoint.Tracker` to keep.
        params: where the log is, and the times.
        shape: how the work is cut.
        archive: read the archive in place of the topic.
        dead_letters: records that were answered for as such: they stay so when code that knows
            what to make of them reads them again (see `steps.keep_dead_letters`).
        final_lateness: what the watermark allows for at the end of a bounded log, where it is
            less than ``allowed_lateness``: windows close there that still wait for late events.
        credit: windows that may be closed and not yet acknowledged before the source waits.
            None never waits: a runner that reads to the end first would wait for ever.
    """

    job: str
    params: Params
    shape: steps.Shape
    archive: bool = False
    dead_letters: pl.DataFrame | None = None
    final_lateness: timedelta | None = None
    credit: int | None = None

    def open(self, offsets: Mapping[int, int]) -> Reader:
        """Open a reader at ``offsets``."""
        if self.archive:
            return ArchiveReader(self.params, offsets)
        return KafkaReader(self.params, offsets)


_TRACKER = beam.DoFn.RestrictionParam(LogProvider())
_ESTIMATOR = beam.DoFn.WatermarkEstimatorParam(ManualWatermarkEstimator.default_provider())


class _ReadDoFn(beam.DoFn):
    def __init__(self, source: LogSource) -> None:
        self._source = source

    def setup(self) -> None:
        interpreter.keep_what_is_here()

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        element: LogPosition,
        tracker: Any = _TRACKER,
        estimator: Any = _ESTIMATOR,
    ) -> Iterator[Any]:
        yield from _read(self._source, tracker, estimator)


def _read(source: LogSource, tracker: Any, estimator: Any) -> Iterator[Any]:
    job = checkpoint.of(source.job)
    position: LogPosition = tracker.current_restriction()
    reader = _reader_at(source, position.offsets)
    bounded = position.ends is not None
    began = time.monotonic()
    while True:
        if job.stopping.is_set():
            position = replace(position, ends=dict(position.offsets))
        elif source.credit is not None and job.backlog > source.credit:
            tracker.defer_remainder(Duration.of(CHECKPOINT_SECONDS))
            return
        before = position.times
        _readers.pop(source.job, None)  # while it is ahead of what is claimed
        marked, marks = _next_batch(source, reader, position, bounded)
        last = marked.group_by("partition").agg(pl.col("offset", "append_time").last()).rows()
        offsets = position.offsets | {p: offset + 1 for p, offset, _ in last}
        position = LogPosition.at(offsets, marks, position.ends)
        if not tracker.try_claim(position):
            reader.close()  # what was polled is read again from the restriction that is left
            return
        _readers[source.job] = (offsets, reader)
        _align(source, reader, position, before)
        if position.done:
            job.finishing.set()
        if marked.height or position.done:
            timely = _count(marked, steps.events(marked, source.shape.windowing))
            job.read(timely, offsets, marks, {p: time for p, _, time in last})
            yield TimestampedValue(marked, estimator.current_watermark() or MIN_TIMESTAMP)
        reached = _watermark(source, position)
        closed: set[datetime] = set()
        if reached is not None:
            closed = job.close(reached)
            yield from _closings(closed, reached, source.shape)
            timestamp = Timestamp(micros=(reached - EPOCH) // timedelta(microseconds=1))
            estimator.set_watermark(max(timestamp, estimator.current_watermark() or MIN_TIMESTAMP))
        if position.done:
            forget(source.job)
            return
        if bounded:
            continue
        _beat(job, reader, position, source.params.stream)
        # What closes a window leaves at once.
        if closed or time.monotonic() - began >= CHECKPOINT_SECONDS:
            rests = bool(closed) and reader.caught_up
            tracker.defer_remainder(Duration.of(REST_SECONDS if rests else 0))
            return


def _next_batch(
    source: LogSource, reader: Prefetcher, position: LogPosition, bounded: bool
) -> tuple[pl.DataFrame, dict[int, datetime | None]]:
    """Return the next batch, no more than the credit allows, marked; and the marks after it."""
    before, lateness = position.times, source.params.windows.allowed_lateness
    batch = steps.keep_dead_letters(position.before_end(reader.poll()), source.dead_letters)
    if not bounded:
        caught_up = reader.caught_up
        interpreter.take_turns(interpreter.SHORT_TURN if caught_up else interpreter.LONG_TURN)
    marked, marks = mark(batch, before, lateness)
    taken = _affordable(marked, before, source)
    if taken < batch.height:
        reader.push_back(batch[taken:])
        return mark(batch[:taken], before, lateness)
    return marked, marks


def _align(source: LogSource, reader: Prefetcher, position: LogPosition, before: Marks) -> None:
    """Let no partition of the topic get far ahead of the others."""
    if source.credit is not None and isinstance(reader.reader, KafkaReader):
        marks = position.times
        unread = {p: m for p, m in marks.items() if not position.ended(p)}
        reader.reader.align(unread, _drift(before, marks, source.credit, source.shape))


def _count(marked: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Count what a batch holds; return its events that are in time."""
    timely = events.filter(~pl.col("late"))
    metrics.count("records_read", marked.height)
    metrics.count("dead_letters", int((marked["kind"] == Kind.DEAD_LETTER.value).sum()))
    metrics.count("late", events.height - timely.height)
    return timely


def _watermark(source: LogSource, position: LogPosition) -> datetime | None:
    """Return the watermark; None while a partition has no mark."""
    lateness = source.params.windows.allowed_lateness
    if position.done and source.final_lateness is not None:
        lateness = source.final_lateness
    return watermark(position.times, lateness)


def _beat(
    job: checkpoint.Tracker, reader: Prefetcher, position: LogPosition, stream: Stream
) -> None:
    """Write heartbeats into silent partitions, and take note of those that cannot be read."""
    if isinstance(reader.reader, KafkaReader):
        job.trouble = reader.reader.trouble
        reader.reader.beat_silent(position.times, stream.idle_timeout)


def _affordable(marked: pl.DataFrame, before: Marks, source: LogSource) -> int:
    """Return how many rows the source may take so that few windows more than its credit close."""
    reached = watermark(before, source.params.windows.allowed_lateness)
    first = reached if reached is not None else marked["event_time"].min()
    if source.credit is None or not isinstance(first, datetime):
        return marked.height
    windowing = source.shape.windowing
    limit = windowing.start(first) + (source.credit + 1) * windowing.length
    return rows_until(marked, before, source.params.windows.allowed_lateness, limit)


def _drift(before: Marks, marks: Marks, credit: int, shape: steps.Shape) -> timedelta:
    """Return how far apart partitions may be: the windows of the credit, or some batches.

    Where windows are small, a batch is many of them.
    """
    strides = (mark - start for p, mark in marks.items() if mark and (start := before[p]))
    return max(credit * shape.windowing.length, 2 * max(strides, default=timedelta(0)))


def _closings(windows: set[datetime], reached: datetime, shape: steps.Shape) -> Iterator[Any]:
    buckets = {shape.buckets.start(window) for window in windows}
    for element in stamped(steps.closing(sorted(buckets), 0, reached, shape), shape):
        yield beam.pvalue.TaggedOutput(CLOSED, element)


def forget(job: str) -> None:
    """Close the reader that a job keeps, if it has one."""
    _, reader = _readers.pop(job, (None, None))
    if reader is not None:
        reader.close()


def _reader_at(source: LogSource, offsets: dict[int, int]) -> Prefetcher:
    at, reader = _readers.get(source.job, (None, None))
    if reader is not None and at == offsets:
        return reader
    forget(source.job)
    reader = Prefetcher(source.open(offsets), source.params)
    _readers[source.job] = (offsets, reader)
    return reader


@dataclass(eq=False)
class ReadLog(beam.PTransform[Any, Any]):
    """Reads, decodes and marks the log from a position.

    Output ``marked``: batches as ``watermark.mark`` gives them. Output ``closed``: pieces of
    ``steps.closing`` keyed by shard, stamped with the end of their bucket.
    """

    source: LogSource
    start: checkpoint.Position
    ends: Mapping[int, int] | None = None

    def expand(self, pbegin: Any) -> DoOutputsTuple:
        """Apply to the beginning of a pipeline."""
        position = LogPosition.at(self.start.offsets, self.start.marks, self.ends or None)
        outputs = (
            pbegin
            | beam.Create([position], reshuffle=False)
            | beam.ParDo(_ReadDoFn(self.source)).with_outputs(CLOSED, main="marked")
        )
        return typed(outputs, marked=pl.DataFrame, closed=ByKey)
