"""The restriction of the source: a position in the log, claimed step by step and never split.

Prism keeps one watermark estimate per stage and splits running sources by progress; both would
drop data. So there is one element, and its tracker refuses every split but the checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import msgspec
import polars as pl
from apache_beam.coders import Coder
from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker
from apache_beam.transforms.core import RestrictionProvider

from ..domain.watermark import Marks
from ..domain.windows import EPOCH


@dataclass(frozen=True)
class LogPosition:
    """The restriction: what is left of the log to read.

    Times are microseconds since the epoch.

    Attributes:
        offsets: per partition, the next record.
        marks: per partition, or None.
        ends: per partition, where to stop; None reads for ever.
        source: which of the sources this is; each has partitions of its own.
        floor: all windows that begin before are closed by this one; it closes those that follow
            too where it has nothing in them. Without, it says nothing of such windows.
        sent: per window that is not closed, the events that were sent to each shard.
    """

    offsets: dict[int, int]
    marks: dict[int, int | None]
    ends: dict[int, int] | None = None
    source: int = 0
    floor: int | None = None
    sent: dict[int, list[int]] = field(default_factory=dict)

    @classmethod
    def at(
        cls, offsets: Mapping[int, int], marks: Marks, ends: Mapping[int, int] | None
    ) -> LogPosition:
        """Return the position with these marks."""
        return cls(dict(offsets), _microseconds(marks), None if ends is None else dict(ends))

    def moved(self, offsets: Mapping[int, int], marks: Marks) -> LogPosition:
        """Return the position after a batch, with nothing told of it yet."""
        return replace(self, offsets=dict(offsets), marks=_microseconds(marks))

    @property
    def sent_times(self) -> dict[datetime, list[int]]:
        """What was sent, by the start of its window."""
        return {_time(window): rows for window, rows in self.sent.items()}

    def with_sent(self, sent: Mapping[datetime, list[int]]) -> LogPosition:
        """Return the position with only this still to be closed."""
        return replace(self, sent={_micros(window): rows for window, rows in sent.items()})

    @property
    def floor_time(self) -> datetime | None:
        """The floor."""
        return None if self.floor is None else _time(self.floor)

    def with_floor(self, floor: datetime) -> LogPosition:
        """Return the position after all windows before ``floor`` were closed."""
        return replace(self, floor=_micros(floor))

    def of_sources(self, number: int, floor: datetime | None) -> list[LogPosition]:
        """Share the partitions out to some sources.

        Raises:
            ValueError: there are more of them than partitions.
        """
        if number > len(self.offsets):
            raise ValueError(f"{number} sources for {len(self.offsets)} partitions")
        parts = [sorted(self.offsets)[first::number] for first in range(number)]
        return [
            LogPosition(
                {p: self.offsets[p] for p in partitions},
                {p: self.marks[p] for p in partitions},
                None if self.ends is None else {p: self.ends[p] for p in partitions},
                source,
                None if floor is None else _micros(floor),
            )
            for source, partitions in enumerate(parts)
        ]

    @property
    def times(self) -> dict[int, datetime | None]:
        """The marks."""
        return {p: None if m is None else _time(m) for p, m in self.marks.items()}

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self.ends is not None and all(map(self.ended, self.ends))

    def ended(self, partition: int) -> bool:
        """Tell whether nothing is left of a partition."""
        return self.ends is not None and self.offsets[partition] >= self.ends[partition]

    def before_end(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Return the records of a batch that come before the end."""
        if self.ends is None:
            return batch
        limit = pl.col("partition").replace_strict(
            list(self.ends), list(self.ends.values()), default=0
        )
        return batch.filter(pl.col("offset") < limit)

    @property
    def left(self) -> int:
        """Records left; 0 where there is no end."""
        return sum(e - self.offsets[p] for p, e in (self.ends or {}).items())


def _micros(time: datetime) -> int:
    return (time - EPOCH) // timedelta(microseconds=1)


def _time(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def _microseconds(marks: Marks) -> dict[int, int | None]:
    return {p: None if m is None else _micros(m) for p, m in marks.items()}


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


class LogProvider(RestrictionProvider):
    """Makes one restriction of an element, whole."""

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
