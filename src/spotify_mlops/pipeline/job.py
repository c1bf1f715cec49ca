"""What the source and the sinks of a job tell of their work, and what they ask about it.

On Prism all of them are threads of one process, and a `checkpoint.Tracker` listens. On an engine
with workers of its own nobody does: it keeps state and flow control itself, and what steps have to
tell each other travels as rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

import polars as pl

from .watermark import Marks

if TYPE_CHECKING:
    from .position import Position

_T = TypeVar("_T")


class Flag(Protocol):
    """What somebody may have said; a `threading.Event` is one."""

    def is_set(self) -> bool:
        """Tell whether it was said."""

    def set(self) -> None:
        """Say it."""


class Job(Protocol):
    """A run of the graph, as its steps see it. It travels to them with the graph."""

    name: str
    trouble: str | None
    """What the source says of partitions that it cannot read for now."""

    @property
    def holds(self) -> bool:
        """Whether a sink may keep rows beyond a bundle; else an engine's checkpoint loses them."""

    @property
    def stopping(self) -> Flag:
        """Set by whoever wants the job to end: the log then ends for the source where it is."""

    @property
    def finishing(self) -> Flag:
        """Set by the source with its last batch: sinks must write all they hold."""

    @property
    def backlog(self) -> int:
        """Windows closed by the watermark and not yet acknowledged."""

    @property
    def watermark(self) -> datetime | None:
        """The watermark of the log; None where it is not known."""

    def shared(self, name: str, made: _T) -> _T:
        """Return what the first caller made under this name, or ``made``."""

    def read(
        self,
        timely: pl.DataFrame,
        offsets: Mapping[int, int],
        marks: Marks,
        appended: Mapping[int, datetime] | None = None,
    ) -> None:
        """Take note of a batch that the source has claimed; see `checkpoint.Tracker.read`."""

    def close(self, watermark: datetime) -> object:
        """Take note of the watermark."""

    def acknowledge_raw(self, sink: str, offsets: Mapping[int, int]) -> None:
        """Take note that a raw sink holds durably all records below ``offsets``."""

    def acknowledge_windows(
        self,
        shard: int,
        windows: Iterable[datetime],
        save: Callable[[Position], None] | None = None,
    ) -> None:
        """Take note that a shard's windows are written; save the position if that moves it."""

    def pending(self, shard: int, start: datetime, end: datetime) -> list[datetime]:
        """Return the closed windows in [start, end) that a shard has not acknowledged."""


class _Never:
    """A flag that nobody sets."""

    def is_set(self) -> bool:
        return False

    def set(self) -> None:
        """Nobody asks."""


class Detached:
    """A job whose steps run in processes that share nothing: nobody is told, nothing is held."""

    holds = False
    stopping = finishing = _Never()
    backlog = 0
    watermark: datetime | None = None
    trouble: str | None = None

    def __init__(self, name: str) -> None:
        """Name the job: its sources keep their readers under this name."""
        self.name = name

    def shared(self, name: str, made: _T) -> _T:
        """Return ``made``: each instance of a step has its own."""
        return made

    def read(
        self,
        timely: pl.DataFrame,
        offsets: Mapping[int, int],
        marks: Marks,
        appended: Mapping[int, datetime] | None = None,
    ) -> None:
        """The restriction of the source says it already."""

    def close(self, watermark: datetime) -> None:
        """The closings say it already."""

    def acknowledge_raw(self, sink: str, offsets: Mapping[int, int]) -> None:
        """The engine knows that the bundle was finished."""

    def acknowledge_windows(
        self,
        shard: int,
        windows: Iterable[datetime],
        save: Callable[[Position], None] | None = None,
    ) -> None:
        """The rows that were written say it already."""

    def pending(self, shard: int, start: datetime, end: datetime) -> list[datetime]:
        """Nobody waits for a window."""
        return []
