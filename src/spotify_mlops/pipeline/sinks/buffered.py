"""A raw sink that gathers batches, writes them together, and only then acknowledges."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import apache_beam as beam
import polars as pl
import polars.selectors as cs

from ..job import Job

MAX_ROWS = 50_000
MAX_BYTES = 32 << 20
"""Records may be megabytes: few of them make a write."""
PATIENCE = 1.0
"""Seconds that rows wait beyond their interval while windows are being written."""


@dataclass
class Buffer:
    """What one sink of one run of a job holds.

    A runner may give the bundles of a stage to several instances of a DoFn. Where they hold rows
    beyond a bundle they share this, so that none acknowledges records that wait in another.
    """

    job: Job
    due: float
    waiting: list[pl.DataFrame] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0
    following: dict[int, int] = field(default_factory=dict)
    under_way: Future[None] | None = None
    writer: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    def take(self) -> pl.DataFrame | None:
        """Return what waits, and begin anew."""
        rows = pl.concat(self.waiting) if self.waiting else None
        self.waiting, self.rows, self.bytes = [], 0, 0
        return rows

    def await_write(self) -> None:
        """Wait for the write under way; raise what it raised, from then on every time."""
        if self.under_way is not None:
            self.under_way.result()
            self.under_way = None


class BufferedDoFn(beam.DoFn):
    """Writes when ``interval`` has passed, many rows wait, or the log has ended.

    Where the job does not hold rows (`Job.holds`) it writes with each bundle, and waits for it.

    A subclass says which rows it takes (``select``) and how it writes them (``write``). Writes
    run beside the source, one at a time; rows gather meanwhile, and the source is held up only
    when ``MAX_ROWS`` of them, or ``MAX_BYTES``, wait. When ``write`` raises, the job fails with
    nothing acknowledged, and resumes from the log.
    """

    def __init__(self, job: Job, name: str, interval: float) -> None:
        """Name the job and the sink; ``interval`` is in seconds, 0 gathers all it can."""
        self._job = job
        self._name = name
        self._interval = interval

    def setup(self) -> None:
        """Open what ``write`` needs; here nothing."""

    def select(self, marked: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of a marked batch that this sink takes."""
        raise NotImplementedError

    def write(self, rows: pl.DataFrame) -> None:
        """Write rows (at least one) durably."""
        raise NotImplementedError

    def advance(self, job: Job) -> None:
        """Do what the log's advance asks for, before a write or in its place; here nothing."""

    _buffer: Buffer | None = None

    def _shared_buffer(self) -> Buffer:
        job = self._job
        return job.shared(self._name, Buffer(job, time.monotonic() + self._interval))

    def process(self, marked: pl.DataFrame) -> None:
        """Take a marked batch; write when enough waits."""
        if self.gather(marked):
            self.begin_write()

    def gather(self, marked: pl.DataFrame) -> bool:
        """Take a marked batch; tell whether enough waits to be written."""
        buffer = self._buffer = self._buffer or self._shared_buffer()
        for partition, last in marked.group_by("partition").agg(pl.col("offset").max()).iter_rows():
            buffer.following[partition] = last + 1
        rows = self.select(marked)
        if rows.height:
            buffer.waiting.append(rows)
            buffer.rows += rows.height
            buffer.bytes += _size(rows)
        return buffer.rows >= MAX_ROWS or buffer.bytes >= MAX_BYTES

    def begin_write(self) -> None:
        """Begin to write what waits, after the write under way; raise what that one raised."""
        if self._buffer is not None:
            self._flush(self._buffer)

    def await_write(self) -> None:
        """Wait for the write under way; raise what it raised."""
        if self._buffer is not None:
            self._buffer.await_write()

    def finish_bundle(self) -> None:
        """Write if it is time to; raise what an earlier write raised."""
        buffer = self._buffer
        if buffer is None:
            return
        ending = not buffer.job.holds or buffer.job.finishing.is_set()
        if buffer.under_way is not None and (ending or buffer.under_way.done()):
            buffer.await_write()
        if ending or (buffer.under_way is None and self._is_due(buffer)):
            self._flush(buffer)
        if ending:
            buffer.await_write()

    def _is_due(self, buffer: Buffer) -> bool:
        """Tell whether to write now: closed windows go first, for as long as ``PATIENCE``."""
        if not self._interval:
            return False
        overdue = time.monotonic() - buffer.due
        return overdue >= 0 and (buffer.job.backlog == 0 or overdue >= PATIENCE)

    def teardown(self) -> None:
        """Let the write under way end: it uses what this instance has open."""
        if self._buffer is not None and self._buffer.under_way is not None:
            wait([self._buffer.under_way])

    def _flush(self, buffer: Buffer) -> None:
        buffer.await_write()
        buffer.due = time.monotonic() + self._interval
        following = dict(buffer.following)
        buffer.under_way = buffer.writer.submit(self._write, buffer, buffer.take(), following)

    def _write(self, buffer: Buffer, rows: pl.DataFrame | None, following: dict[int, int]) -> None:
        self.advance(buffer.job)
        if rows is not None:
            self.write(rows)
        buffer.job.acknowledge_raw(self._name, following)


class InOrderDoFn(beam.DoFn):
    """Writes each bundle to several sinks, and to the last only when the others have it.

    Where nothing is kept beyond a bundle, what the last one has is then in all of them.
    """

    def __init__(self, dofns: Sequence[BufferedDoFn]) -> None:
        """Take the DoFns of the sinks; the last one's rows are the commit record."""
        self._first, self._last = dofns[:-1], dofns[-1]

    def setup(self) -> None:
        for dofn in (*self._first, self._last):
            dofn.setup()

    def process(self, marked: pl.DataFrame) -> None:
        """Take a marked batch; write when enough waits."""
        if any([dofn.gather(marked) for dofn in (*self._first, self._last)]):
            self.finish_bundle()

    def finish_bundle(self) -> None:
        """Write what waits."""
        for dofn in self._first:
            dofn.begin_write()
        for dofn in self._first:
            dofn.await_write()
        self._last.begin_write()
        self._last.await_write()

    def teardown(self) -> None:
        for dofn in (*self._first, self._last):
            dofn.teardown()


def _size(rows: pl.DataFrame) -> int:
    """Return the bytes of the text and the records; a frame's own estimate counts shared ones."""
    sizes = rows.select(cs.string().str.len_bytes().sum(), cs.binary().bin.size().sum())
    return sum(sum(row) for row in sizes.iter_rows())
