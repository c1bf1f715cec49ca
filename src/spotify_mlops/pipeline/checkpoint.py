"""What the sinks of a job have acknowledged: the windows that are written, the records that are.

The log is the state: a job keeps nothing across a restart but a `Position`, and where to read again
for it is a query (`operations.resume`). The source, the sinks and the saved position meet here, in
the process that runs them (Prism's LOOPBACK workers are threads of it).
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar, cast

import polars as pl

from ..domain.watermark import Marks
from . import clock
from .job import Job
from .position import Position
from .steps import Shape

_T = TypeVar("_T")
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
        shape: Shape,
        raw: int,
    ) -> None:
        """Begin at ``start``, with ``raw`` raw sinks that will acknowledge records.

        ``name`` is that of this run alone: threads that a failed one left behind may still write,
        and must not acknowledge for the next.
        """
        super().__init__(name)
        self._lock = threading.Lock()
        self._saving = threading.Lock()
        self._start = start
        self._shape = shape
        self._raw = raw
        self._offsets = dict(start.offsets)
        self._marks = dict(start.marks)
        self._acknowledged: dict[str, dict[int, int]] = {}
        self._claimed: deque[_Claimed] = deque()
        self._acknowledged_marks = start.held_marks
        self._open: set[datetime] = set()
        self._pending: dict[datetime, set[int]] = {}
        self._closed_at: dict[datetime, datetime] = {}
        self._written: deque[WrittenWindow] = deque(maxlen=_MOST_WRITTEN)
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
        claimed = _Claimed(dict(offsets), dict(marks), dict(appended or {}))
        with self._lock:
            self._open.update(timely["window_start"].unique())
            self._claimed.append(claimed)
            self._offsets, self._marks = claimed.offsets, claimed.marks

    def close(self, watermark: datetime) -> set[datetime]:
        with self._lock:
            self._watermark = watermark
            closed = {w for w in self._open if w + self._shape.windowing.length <= watermark}
            self._open -= closed
            for window in closed:
                # Earlier ones are written; they are read again for the windows that look back.
                if self._start.write_from is None or window >= self._start.write_from:
                    self._pending[window] = set(range(self._shape.shards))
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
        return self._start.log

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
        buckets = self._shape.buckets
        with self._lock:
            begun = {buckets.start(window) for window in self._pending}
            reached = self._watermark
        return sum(1 for start in begun if reached is not None and buckets.end(start) <= reached)

    @property
    def pending_windows(self) -> int:
        """Windows closed by the watermark and not yet acknowledged."""
        with self._lock:
            return len(self._pending)

    def pending(self, shard: int, end: datetime) -> list[datetime]:
        start = self._shape.buckets.start(end - self._shape.windowing.length)
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
        floor = self._start.held
        if len(self._acknowledged) < self._raw:
            return floor
        return {
            partition: max(
                floor.get(partition, 0),
                min(sink.get(partition, 0) for sink in self._acknowledged.values()),
            )
            for partition in self._offsets
        }

    def position(self) -> Position:
        """Return how far the job has come; where it began to read stays, and is still exact."""
        with self._lock:
            raw = self._raw_acknowledged()
            while self._claimed and self._claimed[0].is_in(raw):
                claimed = self._claimed.popleft()
                self._acknowledged_marks = claimed.marks
                for partition, time in claimed.appended.items():
                    self._witnesses[partition] = claimed.offsets[partition] - 1, time
            return replace(
                self._start,
                acknowledged=raw,
                write_from=self._next_window(),
                acknowledged_marks=dict(self._acknowledged_marks),
                witnesses=dict(self._witnesses),
            )

    def _next_window(self) -> datetime | None:
        if self._pending:
            return min(self._pending)
        begun = self._start.write_from
        if self._watermark is None:
            return begun
        reached = self._shape.windowing.start(self._watermark)
        return max(reached, begun) if begun is not None else reached


@dataclass(frozen=True)
class _Claimed:
    """A batch that the source has claimed: what follows it, the marks, and the append times."""

    offsets: dict[int, int]
    marks: dict[int, datetime | None]
    appended: dict[int, datetime]
    """Of the last record of each partition that the batch has records of."""

    def is_in(self, raw: Mapping[int, int]) -> bool:
        """Tell whether all records up to its end are in the raw sinks."""
        return all(raw[partition] >= offset for partition, offset in self.offsets.items())


_trackers: weakref.WeakValueDictionary[str, Tracker] = weakref.WeakValueDictionary()
"""The trackers of this process by name, each for as long as somebody holds it."""


def of(name: str) -> Tracker:
    """Return the tracker of a job of this process.

    Raises:
        KeyError: the worker does not run in the process that started the job, or it has ended.
    """
    return _trackers[name]
