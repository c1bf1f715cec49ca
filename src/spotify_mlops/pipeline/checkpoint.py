"""What the sinks of a job have acknowledged, and from where to read the log again.

The log is the state: a job keeps nothing across a restart but a `Position`. The source, the
sinks and the saved position meet here, in the process that runs them (Prism's LOOPBACK workers
are threads of it).
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar, cast

import polars as pl

from ..domain.watermark import Marks
from ..domain.windows import Windowing
from . import clock
from .job import Job
from .position import Position

_T = TypeVar("_T")
_RECENT = 200
"""Snapshots that are kept whatever they hold, so that a restart need not go far back."""
_MOST_WRITTEN = 10_000
"""Written windows that are kept for whoever asks; a job that nobody asks keeps no more."""


@dataclass(frozen=True)
class WrittenWindow:
    """When a window was closed by the watermark, and when all its rows were acknowledged."""

    window_start: datetime
    closed_at: datetime
    written_at: datetime


class Tracker(Job):
    """The acknowledgements of one run of a job. Safe to use from several threads.

    It travels with the graph by its name: a step finds it again in the process that made it, and
    nowhere else.
    """

    holds = True

    def __init__(
        self,
        name: str,
        start: Position,
        windowing: Windowing,
        lags: Iterable[int],
        shards: int,
        raw: int,
    ) -> None:
        """Begin at ``start``, with ``raw`` raw sinks that will acknowledge records.

        ``name`` is that of this run alone: threads that a failed one left behind may still write,
        and must not acknowledge for the next.
        """
        super().__init__(name)
        self._lock = threading.Lock()
        self._saving = threading.Lock()
        self._windowing = windowing
        self._reach = windowing.length * max(lags, default=0)
        self._shards = shards
        self._raw = raw
        self._offsets = dict(start.offsets)
        self._marks = dict(start.marks)
        self._acknowledged: dict[str, dict[int, int]] = {}
        self._floor = start.held
        self._snapshots = {
            p: deque([_Snapshot(offset, start.marks[p], keep=True)])
            for p, offset in start.offsets.items()
        }
        self._first: dict[datetime, dict[int, int]] = {}
        self._open: set[datetime] = set()
        self._pending: dict[datetime, set[int]] = {}
        self._closed_at: dict[datetime, datetime] = {}
        self._written: deque[WrittenWindow] = deque(maxlen=_MOST_WRITTEN)
        self._write_from = start.write_from
        self._log = start.log
        self._witnesses = dict(start.witnesses)
        self._watermark: datetime | None = None
        self.acknowledged_windows = 0
        self._shared: dict[str, object] = {}
        self.finishing = threading.Event()
        self.stopping = threading.Event()
        _trackers[name] = self

    def __reduce__(self) -> tuple[Callable[[str], Tracker], tuple[str]]:
        """Travel by name."""
        return of, (self.name,)

    def shared(self, name: str, made: _T) -> _T:
        return cast(_T, self._shared.setdefault(name, made))

    def read(
        self,
        timely: pl.DataFrame,
        offsets: Mapping[int, int],
        marks: Marks,
        appended: Mapping[int, datetime] | None = None,
    ) -> None:
        firsts = (
            timely.group_by("window_start", "partition")
            .agg(pl.col("offset", "mark").sort_by("offset").first())
            .sort("offset")
        )
        with self._lock:
            for window, partition, offset, mark in firsts.iter_rows():
                if window not in self._first:
                    self._open.add(window)
                seen = self._first.setdefault(window, {})
                if partition not in seen:
                    seen[partition] = offset
                    self._snapshots[partition].append(_Snapshot(offset, mark, keep=True))
            for partition, offset in offsets.items():
                if offset != self._offsets[partition]:
                    place = _Snapshot(offset, marks[partition])
                    place.appended = (appended or {}).get(partition)
                    self._snapshots[partition].append(place)
            self._offsets, self._marks = dict(offsets), dict(marks)

    def close(self, watermark: datetime) -> set[datetime]:
        with self._lock:
            self._watermark = watermark
            closed = {w for w in self._open if w + self._windowing.length <= watermark}
            self._open -= closed
            for window in closed:
                # Earlier ones are written; they are read again for the windows that look back.
                if self._write_from is None or window >= self._write_from:
                    self._pending[window] = set(range(self._shards))
                    self._closed_at[window] = clock.now()
            return closed

    def acknowledge_raw(self, sink: str, offsets: Mapping[int, int]) -> None:
        with self._lock:
            self._acknowledged[sink] = dict(offsets)

    def acknowledge_windows(
        self,
        shard: int,
        windows: Iterable[datetime],
        save: Callable[[Position], None] | None = None,
    ) -> None:
        if self._complete(shard, windows) and save is not None:
            with self._saving:
                save(self.position())

    def _complete(self, shard: int, windows: Iterable[datetime]) -> bool:
        with self._lock:
            whole = False
            for window in windows:
                missing = self._pending.get(window)
                if missing is None:
                    continue
                missing.discard(shard)
                if not missing:
                    del self._pending[window]
                    closed_at = self._closed_at.pop(window)
                    self._written.append(WrittenWindow(window, closed_at, clock.now()))
                    self.acknowledged_windows += 1
                    whole = True
            return whole

    def acknowledge_all(self) -> None:
        """Say that all rows of all closed windows are written (a bounded run's load)."""
        with self._lock:
            self.acknowledged_windows += len(self._pending)
            self._pending.clear()
            self._closed_at.clear()

    @property
    def written_until(self) -> datetime | None:
        """All windows that end by then are written, those without a row too; None if unknown."""
        with self._lock:
            return self._next_window()

    def take_written(self) -> list[WrittenWindow]:
        """Return the windows that were acknowledged whole since the last time this was asked."""
        with self._lock:
            taken = list(self._written)
            self._written.clear()
            return taken

    @property
    def marks(self) -> dict[int, datetime | None]:
        """The mark of each partition."""
        with self._lock:
            return dict(self._marks)

    @property
    def log(self) -> str | None:
        """The identity of the topic that the job reads."""
        return self._log

    @property
    def watermark(self) -> datetime | None:
        with self._lock:
            return self._watermark

    @property
    def offsets(self) -> dict[int, int]:
        """The next record of each partition."""
        with self._lock:
            return dict(self._offsets)

    @property
    def backlog(self) -> int:
        with self._lock:
            return len(self._pending)

    def pending(self, shard: int, start: datetime, end: datetime) -> list[datetime]:
        with self._lock:
            return [
                window
                for window, shards in self._pending.items()
                if shard in shards and start <= window < end
            ]

    def raw_acknowledged(self) -> dict[int, int]:
        """Per partition, the records below this are in every raw sink."""
        with self._lock:
            return self._raw_acknowledged()

    def _raw_acknowledged(self) -> dict[int, int]:
        if self._raw == 0:
            return dict(self._offsets)
        if len(self._acknowledged) < self._raw:
            return dict(self._floor)
        return {
            partition: max(
                self._floor.get(partition, 0),
                min(sink.get(partition, 0) for sink in self._acknowledged.values()),
            )
            for partition in self._offsets
        }

    def position(self) -> Position:
        """Return from where a restart loses nothing and doubles nothing."""
        with self._lock:
            raw = self._raw_acknowledged()
            write_from = self._next_window()
            need = dict(raw)
            if write_from is not None:
                oldest = write_from - self._reach
                for window in [w for w in self._first if w < oldest]:
                    del self._first[window]
                for firsts in self._first.values():
                    for partition, offset in firsts.items():
                        need[partition] = min(need.get(partition, offset), offset)
            else:
                need = dict.fromkeys(need, 0)
            for partition, snapshots in self._snapshots.items():
                witness = _witness(snapshots, raw[partition])
                if witness is not None:
                    self._witnesses[partition] = witness
                _prune(snapshots, need[partition])
            places = {p: snapshots[0] for p, snapshots in self._snapshots.items()}
            return Position(
                {p: place.offset for p, place in places.items()},
                {p: place.mark for p, place in places.items()},
                raw,
                write_from,
                {p: _mark_at(snapshots, raw[p]) for p, snapshots in self._snapshots.items()},
                self._log,
                dict(self._witnesses),
            )

    def _next_window(self) -> datetime | None:
        if self._pending:
            return min(self._pending)
        if self._watermark is None:
            return self._write_from
        reached = self._windowing.start(self._watermark)
        return max(reached, self._write_from) if self._write_from is not None else reached


@dataclass
class _Snapshot:
    """A place in a partition where reading can begin, with the mark it had there."""

    offset: int
    mark: datetime | None
    keep: bool = False
    """A window's first event follows: a restart may need just this place."""
    appended: datetime | None = None
    """The append time of the record before it, where a batch ended here."""


def _prune(snapshots: deque[_Snapshot], need: int) -> None:
    """Leave as first the last snapshot at or before ``need``; thin out the old ones."""
    while len(snapshots) > 1 and snapshots[1].offset <= need:
        snapshots.popleft()
    if len(snapshots) > 2 * _RECENT:
        recent = len(snapshots) - _RECENT
        kept = [s for i, s in enumerate(snapshots) if i == 0 or i >= recent or s.keep]
        snapshots.clear()
        snapshots.extend(kept)


def _mark_at(snapshots: deque[_Snapshot], offset: int) -> datetime | None:
    """Return the mark of the last snapshot at or before ``offset``."""
    for snapshot in reversed(snapshots):
        if snapshot.offset <= offset:
            return snapshot.mark
    return None


def _witness(snapshots: deque[_Snapshot], offset: int) -> tuple[int, datetime] | None:
    """Return the last record below ``offset`` whose append time is known."""
    for snapshot in reversed(snapshots):
        if snapshot.offset <= offset and snapshot.appended is not None:
            return snapshot.offset - 1, snapshot.appended
    return None


_trackers: weakref.WeakValueDictionary[str, Tracker] = weakref.WeakValueDictionary()
"""The trackers of this process by name, each for as long as somebody holds it."""


def of(name: str) -> Tracker:
    """Return the tracker of a job of this process.

    Raises:
        KeyError: the worker does not run in the process that started the job, or it has ended.
    """
    return _trackers[name]
