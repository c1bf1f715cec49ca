"""The source: one element that reads all partitions and reports the log's own watermark.

A splittable DoFn whose restriction is the position in the log. Prism keeps one watermark
estimate per stage and splits running sources by progress; both would drop data. So there is one
element, and its tracker refuses every split but the checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import apache_beam as beam
import msgspec
import polars as pl
from apache_beam.coders import Coder
from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import MIN_TIMESTAMP, Duration, Timestamp

from ..config.params import Params
from ..domain.events import Ahead, decode
from ..domain.windows import EPOCH
from ..io.patches import interpreter
from . import checkpoint, steps
from .readers import ArchiveReader, KafkaReader, Reader
from .transforms import ByKey, typed
from .watermark import Marks, mark, rows_until, watermark

CHECKPOINT_SECONDS = 0.1
"""Output leaves at a checkpoint, so this bounds the latency that the source adds."""
REST_SECONDS = 0.2
"""A source that closed a window, and has nothing else waiting in the log, leaves the machine to
that window for so long; what arrives meanwhile is one large batch."""
CREDIT = 2
"""The live job's `LogSource.credit`."""


@dataclass(frozen=True)
class LogPosition:
    """The restriction: what is left of the log to read.

    Attributes:
        offsets: per partition, the next record.
        marks: per partition, microseconds since the epoch, or None.
        ends: per partition, where to stop; None reads for ever.
    """

    offsets: dict[int, int]
    marks: dict[int, int | None]
    ends: dict[int, int] | None = None

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self.ends is not None and all(map(self.ended, self.ends))

    def ended(self, partition: int) -> bool:
        """Tell whether nothing is left of a partition."""
        return self.ends is not None and self.offsets[partition] >= self.ends[partition]

    @property
    def left(self) -> int:
        """Records left; 0 where there is no end."""
        return sum(e - self.offsets[p] for p, e in (self.ends or {}).items())


class _PositionCoder(Coder):
    def encode(self, value: LogPosition) -> bytes:
        return msgspec.json.encode(value)

    def decode(self, encoded: bytes) -> LogPosition:
        return msgspec.json.decode(encoded, type=LogPosition)

    def is_deterministic(self) -> bool:
        return True


class LogTracker(RestrictionTracker):
    """Claims positions one after another; can be checkpointed, never split in two."""

    def __init__(self, restriction: LogPosition) -> None:
        self._restriction = restriction
        self._checkpointed = False

    def current_restriction(self) -> LogPosition:
        """Return what is left."""
        return self._restriction

    def try_claim(self, position: LogPosition) -> bool:
        """Move on to ``position`` unless a checkpoint has ended this part."""
        if self._checkpointed:
            return False
        self._restriction = position
        return True

    def try_split(self, fraction_of_remainder: float) -> tuple[LogPosition, LogPosition] | None:
        """Split off all that is left when asked for a checkpoint, else refuse."""
        if fraction_of_remainder > 0 or self._checkpointed or self._restriction.done:
            return None
        rest = self._restriction
        self._checkpointed = True
        self._restriction = replace(rest, ends=dict(rest.offsets))
        return self._restriction, rest

    def current_progress(self) -> RestrictionProgress:
        """Return the records left, as work not done."""
        return RestrictionProgress(completed=0.0, remaining=float(self._restriction.left or 1))

    def check_done(self) -> bool:
        """A finished or checkpointed part is done.

        Raises:
            ValueError: the DoFn returned early.
        """
        if not self._checkpointed and not self._restriction.done:
            raise ValueError(f"the log was left at {self._restriction.offsets}")
        return True

    def is_bounded(self) -> bool:
        """Whether there is an end."""
        return self._restriction.ends is not None


class _LogProvider(RestrictionProvider):
    def initial_restriction(self, element: LogPosition) -> LogPosition:
        return element

    def create_tracker(self, restriction: LogPosition) -> LogTracker:
        return LogTracker(restriction)

    def restriction_size(self, element: LogPosition, restriction: LogPosition) -> int:
        return max(restriction.left, 1)

    def restriction_coder(self) -> Coder:
        return _PositionCoder()

    def split(self, element: LogPosition, restriction: LogPosition) -> Iterator[LogPosition]:
        yield restriction

    def truncate(self, element: LogPosition, restriction: LogPosition) -> None:
        return None


class _Ahead:
    """Reads and decodes the next batch while the pipeline works on the last one.

    Decoding makes Python objects, which takes the interpreter; what follows are steps on columns,
    which leave it free.
    """

    def __init__(self, reader: Reader, params: Params) -> None:
        self.reader = reader
        self._params = params
        self._ahead = Ahead.of(params)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="reader")
        self._next = self._worker.submit(self._work)
        self._held: pl.DataFrame | None = None
        self._read = 0

    def _work(self) -> pl.DataFrame:
        return decode(self.reader.poll(), self._ahead)

    def poll(self) -> pl.DataFrame:
        """Return the next batch, decoded; a reader that fails is closed."""
        if self._held is not None:
            held, self._held = self._held, None
            return held
        try:
            decoded = self._next.result()
        except BaseException:
            self.close()
            raise
        self._next = self._worker.submit(self._work)
        self._read = decoded.height
        return decoded

    @property
    def caught_up(self) -> bool:
        """Whether the last batch was all that waited in the log."""
        if isinstance(self.reader, KafkaReader) and self.reader.holds_back:
            return False
        return self._held is None and self._read < self._params.stream.batch_records

    def give_back(self, rest: pl.DataFrame) -> None:
        """Keep the end of the last batch: it comes next."""
        self._held = rest

    def close(self) -> None:
        self._worker.shutdown()
        self.reader.close()


_readers: dict[str, tuple[dict[int, int], _Ahead]] = {}
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
        letters: records that were answered for as dead letters (see `steps.settled`): they stay
            so when code that knows what to make of them reads them again.
        final_lateness: what the watermark allows for at the end of a bounded log, where it is
            less than ``allowed_lateness``: windows close there that still wait for late events.
        credit: windows that may be closed and not yet acknowledged before the source waits.
            None never waits: a runner that reads to the end first would wait for ever.
    """

    job: str
    params: Params
    shape: steps.Shape
    archive: bool = False
    letters: pl.DataFrame | None = None
    final_lateness: timedelta | None = None
    credit: int | None = None

    def open(self, offsets: Mapping[int, int]) -> Reader:
        """Open a reader at ``offsets``."""
        if self.archive:
            return ArchiveReader(self.params, offsets)
        return KafkaReader(self.params, offsets)


_TRACKER = beam.DoFn.RestrictionParam(_LogProvider())
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
    params, shape = source.params, source.shape
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
        before = _from_microseconds(position.marks)
        _readers.pop(source.job, None)  # while it is ahead of what is claimed
        batch = steps.settled(_before_end(reader.poll(), position.ends), source.letters)
        if not bounded:
            caught_up = reader.caught_up
            interpreter.take_turns(interpreter.SHORT_TURN if caught_up else interpreter.LONG_TURN)
        marked, marks = mark(batch, before, params.windows.allowed_lateness)
        if source.credit is not None:
            taken = _affordable(marked, before, source)
            if taken < batch.height:
                reader.give_back(batch[taken:])
                marked, marks = mark(batch[:taken], before, params.windows.allowed_lateness)
        last = marked.group_by("partition").agg(pl.col("offset", "append_time").last()).rows()
        offsets = position.offsets | {p: offset + 1 for p, offset, _ in last}
        position = LogPosition(offsets, _to_microseconds(marks), position.ends)
        if not tracker.try_claim(position):
            reader.close()  # what was polled is read again from the restriction that is left
            return
        _readers[source.job] = (offsets, reader)
        if source.credit is not None and isinstance(reader.reader, KafkaReader):
            unread = {p: m for p, m in marks.items() if not position.ended(p)}
            reader.reader.keep_in_step(unread, _leeway(before, marks, source.credit, shape))
        if position.done:
            job.finishing.set()
        if marked.height or position.done:
            events = steps.events(marked, shape.windowing)
            appended = {p: time for p, _, time in last}
            job.read(events.filter(~pl.col("late")), offsets, marks, appended)
            yield TimestampedValue(marked, estimator.current_watermark() or MIN_TIMESTAMP)
        lateness = params.windows.allowed_lateness
        if position.done and source.final_lateness is not None:
            lateness = source.final_lateness
        reached = watermark(marks, lateness)
        closed: set[datetime] = set()
        if reached is not None:
            closed = job.close(reached)
            yield from _closings(closed, reached, shape)
            estimator.set_watermark(
                max(_timestamp(reached), estimator.current_watermark() or MIN_TIMESTAMP)
            )
        if position.done:
            forget(source.job)
            return
        if not bounded and isinstance(reader.reader, KafkaReader):
            job.trouble = reader.reader.trouble
            reader.reader.beat_silent(marks, params.stream.idle_timeout)
        # What closes a window leaves at once.
        if not bounded and (closed or time.monotonic() - began >= CHECKPOINT_SECONDS):
            rests = bool(closed) and reader.caught_up
            tracker.defer_remainder(Duration.of(REST_SECONDS if rests else 0))
            return


def _affordable(marked: pl.DataFrame, before: Marks, source: LogSource) -> int:
    """Return how many rows the source may take so that few windows more than its credit close."""
    reached = watermark(before, source.params.windows.allowed_lateness)
    first = reached if reached is not None else marked["event_time"].min()
    if source.credit is None or not isinstance(first, datetime):
        return marked.height
    windowing = source.shape.windowing
    limit = windowing.start(first) + (source.credit + 1) * windowing.length
    return rows_until(marked, before, source.params.windows.allowed_lateness, limit)


def _leeway(before: Marks, marks: Marks, credit: int, shape: steps.Shape) -> timedelta:
    """Return how far apart partitions may be: the windows of the credit, or some batches.

    Where windows are small, a batch is many of them.
    """
    strides = (mark - start for p, mark in marks.items() if mark and (start := before[p]))
    return max(credit * shape.windowing.length, 2 * max(strides, default=timedelta(0)))


def _closings(windows: set[datetime], reached: datetime, shape: steps.Shape) -> Iterator[Any]:
    panes = {shape.panes.start(window) for window in windows}
    for piece in steps.closing(sorted(panes), 0, reached, shape):
        value = TimestampedValue(
            (piece.key, piece.frame), Timestamp(micros=shape.pane_time(piece.pane))
        )
        yield beam.pvalue.TaggedOutput(CLOSED, value)


def forget(job: str) -> None:
    """Close the reader that a job keeps, if it has one."""
    _, reader = _readers.pop(job, (None, None))
    if reader is not None:
        reader.close()


def _reader_at(source: LogSource, offsets: dict[int, int]) -> _Ahead:
    at, reader = _readers.get(source.job, (None, None))
    if reader is not None and at == offsets:
        return reader
    forget(source.job)
    reader = _Ahead(source.open(offsets), source.params)
    _readers[source.job] = (offsets, reader)
    return reader


def _before_end(batch: pl.DataFrame, ends: Mapping[int, int] | None) -> pl.DataFrame:
    if ends is None:
        return batch
    limit = pl.col("partition").replace_strict(list(ends), list(ends.values()), default=0)
    return batch.filter(pl.col("offset") < limit)


def _from_microseconds(marks: Mapping[int, int | None]) -> dict[int, datetime | None]:
    return {p: None if m is None else EPOCH + timedelta(microseconds=m) for p, m in marks.items()}


def _to_microseconds(marks: Mapping[int, datetime | None]) -> dict[int, int | None]:
    return {
        p: None if m is None else (m - EPOCH) // timedelta(microseconds=1) for p, m in marks.items()
    }


def _timestamp(time: datetime) -> Timestamp:
    return Timestamp(micros=(time - EPOCH) // timedelta(microseconds=1))


class ReadLog(beam.PTransform):
    """Reads, decodes and marks the log from a position.

    Output ``marked``: batches as ``marks.mark`` gives them. Output ``closed``: pieces of
    ``steps.closing`` keyed by shard, stamped with the end of their pane.
    """

    def __init__(
        self,
        source: LogSource,
        start: checkpoint.Position,
        ends: Mapping[int, int] | None = None,
    ) -> None:
        super().__init__()
        self._source = source
        self._position = LogPosition(
            dict(start.offsets), _to_microseconds(start.marks), dict(ends) if ends else None
        )

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.pvalue.DoOutputsTuple:
        """Apply to the beginning of a pipeline."""
        outputs = (
            pbegin
            | beam.Create([self._position], reshuffle=False)
            | beam.ParDo(_ReadDoFn(self._source)).with_outputs(CLOSED, main="marked")
        )
        return typed(outputs, marked=pl.DataFrame, closed=ByKey)
