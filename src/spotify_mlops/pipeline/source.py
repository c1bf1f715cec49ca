"""The source: elements that each read some partitions and report the watermark of their log.

On Prism it is one that reads all (see `restriction`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
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
from ..domain.events import Kind
from ..domain.watermark import Marks, mark, rows_until, watermark
from ..domain.windows import EPOCH
from ..io.patches import interpreter
from . import metrics, steps
from .archive_reader import ArchiveReader
from .job import Job
from .kafka_reader import KafkaReader
from .position import Position
from .prefetch import Prefetcher, Reader
from .restriction import LogPosition, LogProvider
from .transforms import ByKey, stamped, typed

CHECKPOINT_SECONDS = 0.1
"""Output leaves at a checkpoint, so this bounds the latency that the source adds."""
REST_SECONDS = 0.2
"""A source that closed a window, and has nothing else waiting in the log, leaves the machine to
that window for so long; what arrives meanwhile is one large batch."""
CREDIT = 2
"""The live job's `LogSource.credit`."""


_Name = tuple[str, int]
_readers: dict[_Name, tuple[dict[int, int], Prefetcher]] = {}
"""Open readers by job and source, and where they are: kept across checkpoints, a fresh consumer
costs more. It is a cache: a reader that is elsewhere than the restriction is not used."""

PIECES = "pieces"


@dataclass(frozen=True)
class LogSource:
    """What to read and how.

    Attributes:
        job: who is told what was read, and asked whether to go on.
        params: where the log is, and the times.
        shape: how the work is cut.
        archive: read the archive in place of the topic.
        dead_letters: records that were answered for as such: they stay so when code that knows
            what to make of them reads them again (see `steps.keep_dead_letters`).
        final_lateness: what the watermark allows for at the end of a bounded log, where it is
            less than ``allowed_lateness``: windows close there that still wait for late events.
        credit: buckets that may be closed and not yet acknowledged before the source waits.
            None never waits: a runner that reads to the end first would wait for ever.
    """

    job: Job
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

    def poll(self, reader: Prefetcher, position: LogPosition) -> pl.DataFrame:
        """Return what a reader gives next of what is to be read, decoded."""
        return steps.keep_dead_letters(position.before_end(reader.poll()), self.dead_letters)

    def floor(
        self, position: LogPosition, stopped: Callable[[], bool] = lambda: False
    ) -> datetime | None:
        """Return the start of the first window in which an event of the log can be in time.

        Each partition's events are in time from its mark less the lateness on, and the first
        record of one without a mark sets it. It waits for that record, until ``stopped`` says
        so. None where a bounded log ends before a partition has one: no window of it is ever
        closed.
        """
        firsts = dict(position.times)
        unknown = {p: position.offsets[p] for p, mark in firsts.items() if mark is None}
        if unknown:
            firsts |= self._first_marks(replace(position, offsets=unknown), stopped)
        reached = watermark(firsts, self.params.windows.allowed_lateness)
        return None if reached is None else self.shape.windowing.start(reached)

    def _first_marks(
        self, left: LogPosition, stopped: Callable[[], bool]
    ) -> dict[int, datetime | None]:
        """Return what the first record that is no dead letter sets the marks to."""
        found: dict[int, datetime | None] = dict.fromkeys(left.offsets)
        reader = Prefetcher(self.open(left.offsets), self.params)
        with contextlib.closing(reader):
            while any(time is None and not left.ended(p) for p, time in found.items()):
                if stopped():
                    break
                batch = self.poll(reader, left)
                read = batch.group_by("partition").agg(pl.col("offset").last() + 1).rows()
                marking = batch.filter(pl.col("kind") != Kind.DEAD_LETTER)
                first = marking.group_by("partition").agg(pl.col("event_time").first()).rows()
                found |= {p: time for p, time in first if found[p] is None}
                left = replace(left, offsets=left.offsets | dict(read))
        return found


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
    job = source.job
    position: LogPosition = tracker.current_restriction()
    name = (job.name, position.source)
    reader = _reader_at(name, source, position.offsets)
    bounded = position.ends is not None
    began = time.monotonic()
    while True:
        if job.stopping.is_set():
            position = replace(position, ends=dict(position.offsets))
        elif source.credit is not None and job.backlog > source.credit:
            tracker.defer_remainder(Duration.of(CHECKPOINT_SECONDS))
            return
        before = position.times
        _readers.pop(name, None)  # while it is ahead of what is claimed
        marked, marks = _next_batch(source, reader, position, bounded)
        last = marked.group_by("partition").agg(pl.col("offset", "append_time").last()).rows()
        offsets = position.offsets | {p: offset + 1 for p, offset, _ in last}
        timely = _timely(marked, source.shape)
        pieces = list(steps.by_shard(timely, source.shape))
        sent = steps.count_sent(pieces, position.sent_times, source.shape)
        position = position.moved(offsets, marks)
        reached = _watermark(source, position)
        position, closings = _closed(position, sent, reached, source.shape)
        if not tracker.try_claim(position):
            reader.close()  # what was polled is read again from the restriction that is left
            return
        _readers[name] = (offsets, reader)
        _align(source, reader, position, before)
        _count(marked, timely)
        if position.done:
            job.finishing.set()
        if marked.height or position.done:
            job.read(timely, offsets, marks, {p: time for p, _, time in last})
            yield TimestampedValue(marked, estimator.current_watermark() or MIN_TIMESTAMP)
        for element in stamped((*pieces, *closings), source.shape):
            yield beam.pvalue.TaggedOutput(PIECES, element)
        if reached is not None:
            job.close(reached)
            timestamp = Timestamp(micros=(reached - EPOCH) // timedelta(microseconds=1))
            estimator.set_watermark(max(timestamp, estimator.current_watermark() or MIN_TIMESTAMP))
        if position.done:
            _forget(name)
            return
        if bounded and job.holds:
            continue
        if isinstance(reader.reader, KafkaReader):
            job.unreadable = reader.reader.unreadable
        # What closes a window leaves at once.
        if closings or time.monotonic() - began >= CHECKPOINT_SECONDS:
            rests = bool(closings) and reader.caught_up
            tracker.defer_remainder(Duration.of(REST_SECONDS if rests else 0))
            return


def _next_batch(
    source: LogSource, reader: Prefetcher, position: LogPosition, bounded: bool
) -> tuple[pl.DataFrame, dict[int, datetime | None]]:
    """Return the next batch, no more than the credit allows, marked; and the marks after it."""
    before, lateness = position.times, source.params.windows.allowed_lateness
    batch = source.poll(reader, position)
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


def _timely(marked: pl.DataFrame, shape: steps.Shape) -> pl.DataFrame:
    """Return the events of a batch that are in time."""
    return steps.events(marked.filter(~pl.col("late")), shape.windowing)


def _count(marked: pl.DataFrame, timely: pl.DataFrame) -> None:
    """Count what a batch holds."""
    late = int(marked["late"].sum())
    metrics.count("records_read", marked.height)
    metrics.count("dead_letters", int((marked["kind"] == Kind.DEAD_LETTER.value).sum()))
    metrics.count("events", timely.height + late)
    metrics.count("late", late)


def _closed(
    position: LogPosition,
    sent: Mapping[datetime, list[int]],
    reached: datetime | None,
    shape: steps.Shape,
) -> tuple[LogPosition, list[steps.Piece]]:
    """Close what the watermark has passed: the position after it, and what to tell the shards.

    With a floor it closes every window: other sources may have something there, and whoever
    asks up to where all is written finds no gap.
    """
    if reached is None:
        return position.with_sent(sent), []
    length, buckets = shape.windowing.length, shape.buckets
    closed = {window: rows for window, rows in sent.items() if window + length <= reached}
    quiet: list[datetime] = []
    following = shape.windowing.start(reached)
    if position.floor_time is not None and following > position.floor_time:
        bucket = buckets.start(position.floor_time)
        while bucket < following:
            quiet.append(bucket)
            bucket = buckets.end(bucket)
        position = position.with_floor(following)
    left = {window: rows for window, rows in sent.items() if window not in closed}
    told = steps.closing(closed, position.source, reached, shape, quiet)
    return position.with_sent(left), list(told)


def _watermark(source: LogSource, position: LogPosition) -> datetime | None:
    """Return the watermark; None while a partition has no mark."""
    lateness = source.params.windows.allowed_lateness
    if position.done and source.final_lateness is not None:
        lateness = source.final_lateness
    return watermark(position.times, lateness)


def _affordable(marked: pl.DataFrame, before: Marks, source: LogSource) -> int:
    """Return how many rows the source may take so that few buckets more than its credit close."""
    reached = watermark(before, source.params.windows.allowed_lateness)
    first = reached if reached is not None else marked["event_time"].min()
    if source.credit is None or not isinstance(first, datetime):
        return marked.height
    buckets = source.shape.buckets
    limit = buckets.start(first)
    for _ in range(source.credit + 1):
        limit = buckets.end(limit)
    return rows_until(marked, before, source.params.windows.allowed_lateness, limit)


def _drift(before: Marks, marks: Marks, credit: int, shape: steps.Shape) -> timedelta:
    """Return how far apart partitions may be: the buckets of the credit, or some batches.

    Where windows are small, a batch is many of them.
    """
    strides = (mark - start for p, mark in marks.items() if mark and (start := before[p]))
    slowest = min((mark for mark in marks.values() if mark), default=EPOCH)
    bucket = shape.buckets.at(slowest).length
    return max(credit * bucket, 2 * max(strides, default=timedelta(0)))


def forget(job: Job) -> None:
    """Close the readers that a job keeps in this process."""
    for name in [name for name in _readers if name[0] == job.name]:
        _forget(name)


def _forget(name: _Name) -> None:
    _, reader = _readers.pop(name, (None, None))
    if reader is not None:
        reader.close()


def _reader_at(name: _Name, source: LogSource, offsets: dict[int, int]) -> Prefetcher:
    at, reader = _readers.get(name, (None, None))
    if reader is not None and at == offsets:
        return reader
    _forget(name)
    reader = Prefetcher(source.open(offsets), source.params)
    _readers[name] = (offsets, reader)
    return reader


@dataclass(eq=False)
class ReadLog(beam.PTransform[Any, Any]):
    """Reads, decodes and marks the log from a position.

    Output ``marked``: batches as ``watermark.mark`` gives them. Output ``pieces``: those of
    ``steps.by_shard`` and ``steps.closing`` keyed by shard, stamped with the end of their bucket.

    Attributes:
        source: what to read, by as many elements as its shape says.
        start: from where.
        ends: where to stop; None reads for ever.
    """

    source: LogSource
    start: Position
    ends: Mapping[int, int] | None = None

    def expand(self, pbegin: Any) -> DoOutputsTuple:
        """Apply to the beginning of a pipeline."""
        position = LogPosition.at(self.start.offsets, self.start.marks, self.ends or None)
        number = self.source.shape.sources
        closes_all = number > 1 or not self.source.job.holds
        parts = position.of_sources(number, self.source.floor(position) if closes_all else None)
        made = pbegin | beam.Create(parts, reshuffle=len(parts) > 1)
        reading = beam.ParDo(_ReadDoFn(self.source))
        outputs = made | reading.with_outputs(PIECES, main="marked")
        return typed(outputs, marked=pl.DataFrame, pieces=ByKey)
