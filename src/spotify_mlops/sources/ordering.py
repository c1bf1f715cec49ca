"""Events of files in event-time order, each once, in bounded memory.

Events come in the order of their files. Some hundred thousand at a time are put in order and, when
there are more, written to disk; then day after day is read from what was written.
"""

from __future__ import annotations

import tempfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl

from ..domain.events import EVENT_COLUMNS
from ..domain.events.schema import DUPLICATE_KEY
from ..io.local import state

RUN_ROWS = 250_000
"""Events that are held in memory at a time."""
FRAME_ROWS = 50_000
_BATCH_ROWS = 16_384
"""Of a piece of what is on disk: what is read of it at least."""
_ORDER = ("event_time", "country", "_order", "track_id", "event_type", "event_id")
"""A play comes before a skip: it is kept of a listen that two exports tell differently."""


class Ordered:
    """Events, put in order. Use it as a context manager: leaving it removes what is on disk."""

    def __init__(self) -> None:
        self._waiting: list[pl.DataFrame] = []
        self._rows = 0
        self._runs: list[_Run] = []
        self._days: Counter[date] = Counter()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.repeated = 0
        """Events that were another one over again, once they have been given."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def add(self, events: pl.DataFrame) -> None:
        """Take some events (``EVENT_COLUMNS``, maybe ``_order``)."""
        if "_order" not in events.columns:
            events = events.with_columns(_order=pl.lit(0, pl.Int64))
        self._waiting.append(events.select(*EVENT_COLUMNS, pl.col("_order").cast(pl.Int64)))
        self._rows += events.height
        for day, count in events["event_time"].dt.date().value_counts().iter_rows():
            self._days[day] += count
        if self._rows >= RUN_ROWS:
            self._write()

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield the events (``EVENT_COLUMNS``) in order of time, country, and what comes after.

        Events with the same identifier, time, country and track are given once.
        """
        self.repeated = 0
        for part in self._parts():
            once = part.unique(DUPLICATE_KEY, keep="first", maintain_order=True)
            self.repeated += part.height - once.height
            yield from once.drop("_order").iter_slices(FRAME_ROWS)

    def _parts(self) -> Iterator[pl.DataFrame]:
        if not self._runs:
            if self._waiting:
                yield pl.concat(self._waiting).sort(_ORDER)
            return
        if self._waiting:
            self._write()
        taken = [0] * len(self._runs)
        for last in self._stretches():
            pieces = []
            for number, run in enumerate(self._runs):
                end = run.end(last)
                if end > taken[number]:
                    lazy = pl.scan_ipc(run.path).slice(taken[number], end - taken[number])
                    pieces.append(lazy.collect())
                    taken[number] = end
            yield pl.concat(pieces).sort(_ORDER)

    def _stretches(self) -> Iterator[date]:
        """Yield the last days of stretches of so many events, or of one day that has more."""
        held, last = 0, None
        for day in sorted(self._days):
            if last is not None and held + self._days[day] > RUN_ROWS:
                yield last
                held = 0
            held += self._days[day]
            last = day
        if last is not None:
            yield last

    def _write(self) -> None:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(dir=state.folder("ingest"))
        path = Path(self._folder.name) / f"{len(self._runs)}.arrow"
        run = pl.concat(self._waiting).sort(_ORDER)
        run.write_ipc(path, record_batch_size=_BATCH_ROWS)
        days = run.select(day=pl.col("event_time").dt.date()).group_by("day").len().sort("day")
        self._runs.append(_Run(path, days["day"].to_list(), days["len"].cum_sum().to_list()))
        self._waiting, self._rows = [], 0


@dataclass(frozen=True)
class _Run:
    """Events in order, on disk."""

    path: Path
    days: list[date]
    ends: list[int]
    """How many events there are to the end of each of the days."""

    def end(self, day: date) -> int:
        """Return how many events there are to the end of a day."""
        place = bisect_right(self.days, day)
        return self.ends[place - 1] if place else 0
