"""A raw sink that gathers batches, writes them together, and only then acknowledges."""

from __future__ import annotations

import time

import apache_beam as beam
import polars as pl

from ..pipeline import progress

MAX_ROWS = 50_000


class BufferedDoFn(beam.DoFn):
    """Writes when ``interval`` has passed, many rows wait, or the log has ended.

    A subclass says which rows it takes (``select``) and how it writes them (``write``). When
    ``write`` raises, the job fails with nothing acknowledged, and resumes from the log.
    """

    def __init__(self, job: str, name: str, interval: float) -> None:
        """Name the job and the sink; ``interval`` is in seconds, 0 gathers all it can."""
        self._job = job
        self._name = name
        self._interval = interval

    def select(self, marked: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of a marked batch that this sink takes."""
        raise NotImplementedError

    def write(self, rows: pl.DataFrame) -> None:
        """Write rows (at least one) durably."""
        raise NotImplementedError

    def setup(self) -> None:
        """Begin with nothing waiting."""
        self._waiting: list[pl.DataFrame] = []
        self._rows = 0
        self._next: dict[int, int] = {}
        self._due = time.monotonic() + self._interval

    def process(self, marked: pl.DataFrame) -> None:
        """Take a marked batch."""
        for partition, last in marked.group_by("partition").agg(pl.col("offset").max()).iter_rows():
            self._next[partition] = last + 1
        rows = self.select(marked)
        if rows.height:
            self._waiting.append(rows)
            self._rows += rows.height
        if self._rows >= MAX_ROWS:
            self._flush()

    def finish_bundle(self) -> None:
        """Write if it is time to."""
        ending = progress.of(self._job).finishing.is_set()
        if ending or (self._interval and time.monotonic() >= self._due):
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self.write(pl.concat(self._waiting))
        self._waiting, self._rows = [], 0
        self._due = time.monotonic() + self._interval
        progress.of(self._job).acknowledge_raw(self._name, self._next)
