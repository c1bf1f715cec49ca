"""What a field of an event may hold.

Each kind of value says once what must be so of it, as `Rule`s over its column. They are the
validity mask of a batch; and what a refused record is told is the fault of the first that does
not hold. A fault chooses words: it never decides whether there is one. What may be null has no
rules: where it cannot be read it is null, and the event counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import polars as pl

from . import times
from .schema import EARLIEST_TIME, UTC_MICROSECONDS, Reason

LATEST = "_latest"
"""The column with the latest time that a record's event may have."""


class Fault(NamedTuple):
    """Why a record is a dead letter."""

    reason: Reason
    detail: str


class Rule(NamedTuple):
    """What must be so of a value in its column, and the fault of one (as in JSON) of which not."""

    holds: pl.Expr
    fault: Callable[[Any], Fault]


@dataclass(frozen=True)
class Text:
    """Text; ``empty`` says whether it may be without characters."""

    empty: bool = True
    json: ClassVar[type] = str
    dtype: ClassVar[Any] = pl.String
    unfit: ClassVar[Any] = ""

    def mended(self, value: object) -> str | None:
        """Return the value that a member of a record is; None for one of another type."""
        return value if isinstance(value, str) else None

    def series(self, name: str, values: Sequence[Any]) -> pl.Series:
        """Return some values as they are written: String, or Int64."""
        return pl.Series(name, values, dtype=pl.String, strict=True)

    def column(self, written: pl.Series) -> pl.Series:
        """Return the column of what is written."""
        return written

    def rules(self, name: str) -> list[Rule]:
        """Return what must be so of the column, in the order in which it is told."""
        if self.empty:
            return []
        return [Rule(pl.col(name) != "", lambda _: Fault(Reason.OUT_OF_RANGE, f"{name} is empty"))]


@dataclass(frozen=True)
class OneOf(Text):
    """Text of a closed set; ``unknown`` is the reason against what is not in it."""

    members: frozenset[str] = frozenset()
    unknown: Reason = Reason.OUT_OF_RANGE

    def rules(self, name: str) -> list[Rule]:
        known = pl.col(name).is_in(sorted(self.members))
        return [Rule(known, lambda text: Fault(self.unknown, text[:100]))]


@dataclass(frozen=True)
class Time(Text):
    """A time in RFC 3339, neither too early nor after ``LATEST``."""

    dtype: ClassVar[Any] = UTC_MICROSECONDS
    unfit: ClassVar[Any] = "1970-01-01T00:00:00.000000Z"

    def column(self, written: pl.Series) -> pl.Series:
        return times.parse_times(written)

    def rules(self, name: str) -> list[Rule]:
        time = pl.col(name)

        def unread(_: str) -> Fault:
            return Fault(Reason.WRONG_TYPE, f"{name}: expected RFC 3339 with a time zone")

        def at(reason: Reason) -> Callable[[str], Fault]:
            return lambda text: Fault(reason, f"{name} {times.iso(text)}")

        return [
            Rule(time.is_not_null(), unread),
            Rule(time >= EARLIEST_TIME, at(Reason.OUT_OF_RANGE)),
            Rule(time <= pl.col(LATEST), at(Reason.FUTURE_EVENT_TIME)),
        ]


@dataclass(frozen=True)
class Date(Text):
    """A date, or the year or month of one; null where a text says none (``0000``)."""

    dtype: ClassVar[Any] = pl.Date

    def column(self, written: pl.Series) -> pl.Series:
        return times.parse_dates(written)


@dataclass(frozen=True)
class Integer:
    """An integer from ``low`` to ``high``; if ``nullable``, what is not one is null."""

    low: int
    high: int
    dtype: Any = pl.Int64
    nullable: bool = False
    json: ClassVar[type] = int

    @property
    def unfit(self) -> int:
        """What stands for a value of another type."""
        return self.low - 1

    def mended(self, value: object) -> int | None:
        """Return the integer that a member of a record is, ``73.0`` too; None for what is none.

        JSON has one kind of number: pandas and BigQuery's exports write whole ones so.
        """
        if isinstance(value, float) and value.is_integer():
            return int(value)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def series(self, name: str, values: Sequence[Any]) -> pl.Series:
        """Return some values as Int64; what is out of range stays so."""
        try:
            return pl.Series(name, values, dtype=pl.Int64, strict=True)
        except (OverflowError, pl.exceptions.PolarsError, TypeError):  # one of more than 64 bits
            near = [v if v is None else min(max(v, self.unfit), self.high + 1) for v in values]
            return pl.Series(name, near, dtype=pl.Int64, strict=True)

    def column(self, written: pl.Series) -> pl.Series:
        """Return the column of what is written: out of range it stays so, and fits."""
        fits = written.is_between(self.low, self.high)
        if self.nullable and not fits.all():
            written = written.set(~fits.fill_null(True), None)
        return written.clip(self.unfit, self.high + 1).cast(self.dtype)

    def rules(self, name: str) -> list[Rule]:
        if self.nullable:
            return []

        def fault(value: object) -> Fault:
            number = self.mended(value)
            if number is None:
                return Fault(Reason.WRONG_TYPE, f"{name}: expected an integer")
            told = f"{name}: {str(number)[:40]} is not in {self.low}..{self.high}"
            return Fault(Reason.OUT_OF_RANGE, told)

        return [Rule(pl.col(name).is_between(self.low, self.high), fault)]


KINDS = (Text, Integer, OneOf, Time)
"""In the order in which the faults of their fields are told, when a record has several."""
