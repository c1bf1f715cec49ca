"""Event-time tumbling windows: UTC, start inclusive, counted from the epoch plus an offset."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from ..config.sections import Windows

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Windowing:
    """Length and offset of the windows, both whole microseconds."""

    length: timedelta
    offset: timedelta = timedelta(0)

    @classmethod
    def of(cls, windows: Windows) -> Windowing:
        """Return the windowing that the params declare."""
        return cls(windows.window, windows.window_offset)

    def start(self, time: datetime) -> datetime:
        """Return the start of the window that holds ``time``.

        >>> charts = Windowing(timedelta(days=7), offset=timedelta(days=1))  # from Friday on
        >>> print(charts.start(datetime(2026, 1, 5, tzinfo=UTC)))
        2026-01-02 00:00:00+00:00
        """
        return time - (time - EPOCH - self.offset) % self.length

    def start_expr(self, column: str | pl.Expr) -> pl.Expr:
        """Return the window starts of a UTC microsecond datetime column."""
        time = pl.col(column) if isinstance(column, str) else column
        length = self.length // timedelta(microseconds=1)
        offset = self.offset // timedelta(microseconds=1)
        since = time.dt.epoch("us") - offset
        return (since - since % length + offset).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")

    def shift_expr(self, column: str | pl.Expr, windows: int | pl.Expr) -> pl.Expr:
        """Return window starts moved by a number of windows (later when positive)."""
        time = pl.col(column) if isinstance(column, str) else column
        count = pl.lit(windows, pl.Int64) if isinstance(windows, int) else windows.cast(pl.Int64)
        length = self.length // timedelta(microseconds=1)
        return time + (count * length).cast(pl.Duration("us"))
