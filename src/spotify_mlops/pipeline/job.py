"""What the source and the sinks of a job tell of their work, and what they ask about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

import polars as pl

from ..domain.watermark import Marks

if TYPE_CHECKING:
    from .position import Position

_T = TypeVar("_T")


class Flag(Protocol):
    """What somebody may have said; a `threading.Event` is one."""

    def is_set(self) -> bool:
        """Tell whether it was said."""

    def set(self) -> None:
        """Say it."""


class _Never:
    """A flag that nobody sets."""

    def is_set(self) -> bool:
        return False

    def set(self) -> None:
        """Nobody asks."""


@dataclass(frozen=True)
class Unreadable:
    """A partition that gives an error in place of records."""

    partition: int
    offset: int
    """Of the first record that cannot be read."""
    error: str
    """Kafka's own words."""


class Job:
    """A run of the graph, as its steps see it. It travels to them with the graph.

    This is one on an engine with workers of its own: it keeps state and flow control itself, what
    steps have to tell each other travels as rows, and nobody listens here. On Prism all steps are
    threads of one process, and a `checkpoint.Tracker` does.
    """

    holds: bool = False
    """Whether a sink may keep rows beyond a bundle; else an engine's checkpoint loses them."""
    stopping: Flag = _Never()
    """Set by whoever wants the job to end: the log then ends for the source where it is."""
    finishing: Flag = _Never()
    """Set by the source with its last batch: sinks must write all they hold."""
    unreadable: tuple[Unreadable, ...] = ()
    """The partitions that the source cannot read for now."""

    def __init__(self, name: str) -> None:
        """Name the job: its sources keep their readers under this name."""
        self.name = name

    @property
    def backlog(self) -> int:
        """Buckets closed by the watermark and not yet acknowledged."""
        return 0

    @property
    def watermark(self) -> datetime | None:
        """The watermark of the log; None where it is not known."""
        return None

    def shared(self, name: str, made: _T) -> _T:
        """Return what the first caller made under this name, where steps share a process."""
        return made

    def read(
        self,
        timely: pl.DataFrame,
        offsets: Mapping[int, int],
        marks: Marks,
        appended: Mapping[int, datetime] | None = None,
    ) -> None:
        """Take note of a batch that the source has claimed.

        Args:
            timely: ``window_start`` of its events that are in time.
            offsets: the next record of each partition.
            marks: after the batch.
            appended: the append time of the last record of each partition in the batch.
        """

    def close(self, watermark: datetime) -> set[datetime]:
        """Move the watermark; return the windows with events that it closes, as far as known."""
        return set()

    def acknowledge_raw(self, sink: str, offsets: Mapping[int, int]) -> None:
        """Take note that a raw sink holds durably all records below ``offsets``."""

    def acknowledge_windows(
        self,
        shard: int,
        windows: Iterable[datetime],
        save: Callable[[Position], None] | None = None,
    ) -> None:
        """Take note that the rows of a shard's windows are written.

        Args:
            shard: of the rows.
            windows: their starts.
            save: is given the position where that made a window whole, one at a time, in order.
        """

    def pending(self, shard: int, end: datetime) -> list[datetime]:
        """Return the closed windows of the bucket up to ``end`` that a shard still owes."""
        return []
