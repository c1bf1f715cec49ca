"""Synthetic listening events, drawn from the simulated world hour by hour.

An hour is the hour of *arrival*: what the topic receives in it, in arrival order. It depends on
(params, hour) alone, so any hour can be made alone. On the way three things are spoilt, exactly
as many as the shares say, and marked in the column ``injected``:

- ``duplicate``: a copy of an event, arriving before it could be late;
- ``late``: an event whose time is older than its partition's mark less ``allowed_lateness``;
- a `Reason`: a record that cannot become an event.

Everything else arrives out of order by less than ``allowed_lateness`` and is never late: the
mark of a partition is the time of an event that arrived before, and no event arrives before its
time, so ``mark <= arrival <= event_time + allowed_lateness``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..config.errors import ParamsError
from ..config.params import Params
from ..domain.events import EVENT_COLUMNS, EVENT_TYPES, Reason, encode
from ..domain.events.schema import UTC_MICROSECONDS
from ..domain.hashing import partition_of
from .malformed import REASONS, corrupt
from .world import World

SOURCE = "simulator"
VERSION = 1
"""Raised when the same params begin to give other events."""
OBSERVATIONS = 20.0
"""Mean ``count`` of an event: collectors group equal observations before they send them."""
GROUPING = 0.35
"""Events of a track grow as its observations to this power; ``count`` carries the rest."""
LATEST = timedelta(hours=3)
"""A late event is at most this much older than it had to be to be late."""

# Share of the events of each kind, in the order of EVENT_TYPES.
_KINDS = np.array([0.64, 0.12, 0.11, 0.02, 0.11])
_HOUR = 3_600_000_000
_INJECTED = (None, "duplicate", "late", *(reason.value for reason in REASONS))
_DUPLICATE, _LATE, _MALFORMED = 1, 2, 3

SIMULATED_COLUMNS = EVENT_COLUMNS | {
    "partition": pl.Int32(),
    "arrival": UTC_MICROSECONDS,  # when the collector hands it to the topic, simulated time
    "injected": pl.String(),
}


@dataclass
class Simulator:
    """The stream of one set of params.

    Raises (when the first hour is drawn):
        ParamsError: a country that the simulator does not know, or dates in the future.
    """

    params: Params
    _rates: dict[int, NDArray[np.float64]] = field(default_factory=dict, repr=False)

    @cached_property
    def world(self) -> World:
        """The catalogue and its life."""
        return World.of(self.params)

    @cached_property
    def _partitions(self) -> NDArray[np.int64]:
        return (
            partition_of(self.world.track_id, self.params.kafka.partitions)
            .to_numpy()
            .astype(np.int64)
        )

    @cached_property
    def _catalogue(self) -> pl.DataFrame:
        world = self.world
        return pl.DataFrame(
            {
                "track_id": world.track_id,
                "track_name": world.track_name,
                "artist_name": world.artist_name,
                "artist_id": world.artist_id,
                "release_date": world.release_date,
                "partition": pl.Series(self._partitions, dtype=pl.Int32),
            }
        )

    @cached_property
    def _volume(self) -> NDArray[np.float64]:
        """Relative volume of each hour of history and live part, shape (hours, C)."""
        return self.world.volume(0, self.hours)

    @cached_property
    def _cumulative(self) -> NDArray[np.float64]:
        """Events before each hour; the history has ``simulator_events`` of them exactly."""
        total = self._volume.sum(axis=1)
        before = np.concatenate([[0.0], np.cumsum(total)])
        return before * (self.params.simulator.events / before[self.world.hours])

    @property
    def hours(self) -> int:
        """Hours of the history and the live part together."""
        return self.world.hours + -(-self.params.simulator.live_duration // timedelta(hours=1))

    @property
    def history_hours(self) -> int:
        """Hours of the history."""
        return self.world.hours

    def time(self, hour: int) -> datetime:
        """Return when an hour begins."""
        return self.world.start + timedelta(hours=hour)

    def history(self, block: int = 6) -> Iterator[pl.DataFrame]:
        """Draw the whole history, some hours a frame; see `interval`."""
        for first in range(0, self.history_hours, block):
            yield self.interval(first, min(first + block, self.history_hours))

    def interval(self, first: int, last: int) -> pl.DataFrame:
        """Draw the hours first..last-1.

        Returns:
            ``SIMULATED_COLUMNS`` in arrival order. A row to be made malformed holds the event
            that `records` spoils.
        """
        return pl.concat([self.hour(hour) for hour in range(first, last)])

    def hour(self, hour: int) -> pl.DataFrame:
        """Draw what arrives in one hour since the start; ``SIMULATED_COLUMNS``."""
        rng = np.random.default_rng([self.params.simulator.seed, 2, hour])
        begin = hour * _HOUR
        total = self._count(hour, 1.0)
        track, kind, country, count = self._draw(rng, hour, total)
        lateness = self.params.windows.allowed_lateness // timedelta(microseconds=1)
        arrival = np.sort(rng.integers(begin, begin + _HOUR, total))
        delay = np.minimum(rng.exponential(lateness / 5 + 1e-9, total).astype(np.int64), lateness)
        # The closing heartbeats of the history make anything older than its end late.
        floor = 0 if hour < self.history_hours else self.history_hours * _HOUR
        time = np.maximum(arrival - delay, floor)
        row = np.arange(total)
        injected = np.zeros(total, dtype=np.int64)

        late = self._make_late(rng, hour, time, self._partitions[track], lateness)
        injected[late] = _LATE

        ordinary = np.flatnonzero(injected == 0)
        copied = self._choose(rng, ordinary, self._count(hour, self.params.sources.duplicate_share))
        latest = np.minimum(time[copied] + lateness, begin + _HOUR - 1)
        spread = np.maximum(latest - arrival[copied], 0)
        again = arrival[copied] + (rng.random(len(copied)) * spread).astype(np.int64)

        broken = rng.integers(
            0, max(total, 1), self._count(hour, self.params.sources.malformed_share)
        )
        if total == 0:
            broken = broken[:0]
        reasons = _MALFORMED + rng.integers(0, len(REASONS), len(broken))
        moments = rng.integers(begin, begin + _HOUR, len(broken))

        source = np.concatenate([row, copied, broken])
        arrival = np.concatenate([arrival, again, moments])
        injected = np.concatenate([injected, np.full(len(copied), _DUPLICATE), reasons])
        # A stable sort keeps an original before the copy that arrives in the same microsecond.
        order = np.argsort(arrival, kind="stable")
        source = source[order]
        return self._frame(
            hour,
            source,
            time[source],
            arrival[order],
            injected[order],
            track[source],
            kind[source],
            country[source],
            count[source],
        )

    def _count(self, hour: int, share: float) -> int:
        """Return how many of something there are in an hour, exact over any range of hours."""
        before, after = self._cumulative[hour : hour + 2] * share
        return round(after) - round(before)

    def _draw(
        self, rng: np.random.Generator, hour: int, total: int
    ) -> tuple[NDArray[np.int64], ...]:
        """Return track, kind, country and count of the events of an hour."""
        observed = self._hour_rates(hour)  # C, kind, K; each country sums to one
        mean = observed.mean(axis=2, keepdims=True)
        weight = (observed / np.where(mean > 0, mean, 1.0)) ** GROUPING
        weight *= (_KINDS / np.maximum(weight.sum(axis=2), 1e-12))[:, :, None]
        weight /= weight.sum(axis=(1, 2), keepdims=True)
        volume = self._volume[hour] / self._volume[hour].sum()
        cumulative = np.cumsum(weight * volume[:, None, None])
        cell = np.searchsorted(cumulative, rng.random(total) * cumulative[-1], side="right")
        cell = np.minimum(cell, weight.size - 1)
        country, kind, track = np.unravel_index(cell, weight.shape)
        grouped = OBSERVATIONS * observed.ravel()[cell] / weight.ravel()[cell]
        extra = np.maximum(grouped - 1, 0) * rng.gamma(8.0, 1 / 8.0, total)
        return track, kind, country, 1 + rng.poisson(extra)

    def _hour_rates(self, hour: int) -> NDArray[np.float64]:
        day, within = divmod(hour, 24)
        if day not in self._rates:
            if len(self._rates) > 1:
                self._rates.clear()
            self._rates[day] = self.world.rates(day * 24, day * 24 + 24)
        return self._rates[day][within]

    def _make_late(
        self,
        rng: np.random.Generator,
        hour: int,
        time: NDArray[np.int64],
        partition: NDArray[np.int64],
        lateness: int,
    ) -> NDArray[np.int64]:
        """Move the times of some events behind their partition's mark; return which ones.

        The mark is counted from the beginning of this hour; the true one can only be higher.
        """
        wanted = self._count(hour, self.params.sources.late_share)
        if wanted == 0:
            return np.zeros(0, dtype=np.int64)
        mark = np.full(len(time), -1, dtype=np.int64)
        for number in range(self.params.kafka.partitions):
            rows = np.flatnonzero(partition == number)
            if len(rows) > 1:
                mark[rows[1:]] = np.maximum.accumulate(time[rows])[:-1]
        newest = mark - lateness - 1
        chosen = self._choose(rng, np.flatnonzero((mark >= 0) & (newest >= 0)), wanted)
        # An event that was to move the mark may become late itself: recount the marks without
        # the late ones, or those behind them would be late by less than it seems.
        kept = np.ones(len(time), dtype=bool)
        kept[chosen] = False
        true_mark = np.full(len(time), -1, dtype=np.int64)
        for number in range(self.params.kafka.partitions):
            rows = np.flatnonzero(partition == number)
            running = np.maximum.accumulate(np.where(kept[rows], time[rows], -1))
            true_mark[rows[1:]] = running[:-1]
        chosen = chosen[true_mark[chosen] - lateness - 1 >= 0]
        newest = true_mark[chosen] - lateness - 1
        older = rng.exponential(LATEST / timedelta(microseconds=1) / 6, len(chosen))
        older = np.minimum(older.astype(np.int64), LATEST // timedelta(microseconds=1))
        time[chosen] = np.maximum(newest - older, 0)
        return chosen

    @staticmethod
    def _choose(
        rng: np.random.Generator, rows: NDArray[np.int64], wanted: int
    ) -> NDArray[np.int64]:
        return np.sort(rng.choice(rows, min(wanted, len(rows)), replace=False))

    def _frame(
        self,
        hour: int,
        number: NDArray[np.int64],
        time: NDArray[np.int64],
        arrival: NDArray[np.int64],
        injected: NDArray[np.int64],
        track: NDArray[np.int64],
        kind: NDArray[np.int64],
        country: NDArray[np.int64],
        count: NDArray[np.int64],
    ) -> pl.DataFrame:
        origin = int(self.world.start.timestamp()) * 1_000_000
        prefix = f"sim:{self.params.simulator.seed}:{hour}:"
        names = pl.Series(EVENT_TYPES)
        codes = pl.Series(self.world.countries)
        labels = pl.Series(_INJECTED, dtype=pl.String)
        catalogue = self._catalogue[track]
        return (
            pl.DataFrame(
                {
                    "number": number,
                    "event_time": time + origin,
                    "arrival": arrival + origin,
                    "count": count,
                    "event_type": names.gather(kind),
                    "country": codes.gather(country),
                    "injected": labels.gather(injected),
                }
            )
            .hstack(catalogue)
            .with_columns(
                pl.col("event_time", "arrival").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
                event_id=pl.lit(prefix) + pl.col("number").cast(pl.String),
                source=pl.lit(SOURCE),
                popularity=pl.lit(None, pl.Int16),
                album_name=pl.lit(None, pl.String),
            )
            .select(pl.col(name).cast(dtype) for name, dtype in SIMULATED_COLUMNS.items())
        )


def records(frame: pl.DataFrame) -> pl.DataFrame:
    """Turn simulated rows into what is published: ``partition``, ``key`` and ``value``."""
    values = encode(frame)
    spoilt = frame["injected"].is_in([reason.value for reason in REASONS]).fill_null(False)
    rows = spoilt.arg_true()
    reasons = frame["injected"].gather(rows)
    bad = [
        corrupt(value, Reason(reason))
        for value, reason in zip(values.gather(rows), reasons, strict=True)
    ]
    values = values.scatter(rows, pl.Series(bad, dtype=pl.Binary))
    return frame.select("partition", pl.col("track_id").alias("key"), values)


def check_dates(params: Params, now: datetime) -> None:
    """Refuse a history that lies in the future: its events would all be dead letters.

    Raises:
        ParamsError: the history ends later than ``now`` plus ``clock_skew``.
    """
    end = World.of(params).end
    if end > now + params.windows.clock_skew:
        raise ParamsError(
            f"El historial simulado termina el {end:%Y-%m-%d}, en el futuro: "
            "adelante simulator_start o reduzca simulator_days."
        )
