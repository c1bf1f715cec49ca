"""The restriction of the source: a position in the log, claimed step by step and never split.

Prism keeps one watermark estimate per stage and splits running sources by progress; both would
drop data. So there is one element, and its tracker refuses every split but the checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec
import polars as pl
from apache_beam.coders import Coder
from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker
from apache_beam.transforms.core import RestrictionProvider

from ..domain.windows import EPOCH
from .watermark import Marks


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

    @classmethod
    def at(
        cls, offsets: Mapping[int, int], marks: Marks, ends: Mapping[int, int] | None
    ) -> LogPosition:
        """Return the position with these marks."""
        return cls(dict(offsets), _microseconds(marks), None if ends is None else dict(ends))

    @property
    def times(self) -> dict[int, datetime | None]:
        """The marks."""
        return {
            p: None if m is None else EPOCH + timedelta(microseconds=m)
            for p, m in self.marks.items()
        }

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


def _microseconds(marks: Marks) -> dict[int, int | None]:
    return {
        p: None if m is None else (m - EPOCH) // timedelta(microseconds=1) for p, m in marks.items()
    }


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
