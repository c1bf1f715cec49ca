"""``bench growth``: CPU time an event and row, as the log grows longer and the catalogue wider.

The whole graph, prediction included, over a log in memory: the broker's share is left out. What
the job's start costs, however short the log, is measured with an empty log and taken off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import workload
from matplotlib.figure import Figure
from workload import figure

from spotify_mlops.config import paths
from spotify_mlops.config.params import Params
from spotify_mlops.config.progress import Progress
from spotify_mlops.config.spanish import number
from spotify_mlops.domain.events import EVENT_TYPES, LOG_COLUMNS, encode_heartbeat
from spotify_mlops.pipeline.source import LogSource

EVENTS = (100_000, 300_000, 1_000_000, 2_500_000, 5_000_000)
"""At one rate: the longest log lasts fifty times as long as the shortest."""
TRACKS = (1_000, 5_000, 20_000, 60_000, 200_000)
"""In a log of a million events."""
EVENTS_A_WINDOW = 2_000
TYPICAL_EVENTS, TYPICAL_TRACKS = 1_000_000, 1_000
BEGIN = datetime(2020, 1, 6, tzinfo=UTC)

_logs: dict[str, pl.DataFrame] = {}
"""The log of the run by topic: the source is pickled, so it finds its log by name."""


class _MemoryReader:
    def __init__(self, log: pl.DataFrame, offsets: Mapping[int, int], size: int) -> None:
        self._batches = log.filter(pl.col("offset") >= offsets[0]).iter_slices(size)
        self._end = log.clear()

    def poll(self) -> pl.DataFrame:
        return next(self._batches, self._end)

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class _MemorySource(LogSource):
    def open(self, offsets: Mapping[int, int]) -> _MemoryReader:
        return _MemoryReader(
            _logs[self.params.kafka.topic], offsets, self.params.stream.batch_records
        )


def run(params: Params, say: Progress, events: int = max(EVENTS)) -> list[dict[str, Any]]:
    """Run the graph over logs of up to ``events`` events and of up to 200,000 tracks."""
    params = workload.prepare(params, "growth", say, simulator_events=200_000)
    start = _cpu(params, 0, 1)[0]
    lengths = [n for n in EVENTS if n <= events] or [events]
    longer = [_cost(params, n, TYPICAL_TRACKS, start, say) for n in lengths]
    wider = [_cost(params, min(TYPICAL_EVENTS, events), n, start, say) for n in TRACKS]
    plot = paths.root() / "reports" / "growth.svg"
    plot.parent.mkdir(exist_ok=True)
    _plot(longer, wider).savefig(plot)
    say(f"Gráfica en {plot}")
    return [
        figure("growth_start_cpu", start, "s", digits=2),
        *(_figure(f"events_{p.events}", p, longer[0]) for p in longer),
        *(_figure(f"tracks_{p.tracks}", p, wider[0]) for p in wider),
    ]


@dataclass(frozen=True)
class _Point:
    events: int
    tracks: int
    rows: int
    cost: float
    """Microseconds of CPU time an event and output row."""


def _figure(name: str, point: _Point, first: _Point) -> dict[str, Any]:
    return figure(f"growth_{name}", point.cost, "us", first.cost, 2)


def _cost(params: Params, events: int, tracks: int, start: float, say: Progress) -> _Point:
    cpu, counts = _cpu(params, events, tracks)
    assert counts["counted"] == events, (counts, events)
    rows = counts["predictions"]
    point = _Point(events, tracks, rows, 1e6 * (cpu - start) / (events + rows))
    say(
        f"{number(events)} eventos, {number(tracks)} canciones, {number(rows)} filas: "
        f"{number(point.cost, 2)} µs"
    )
    return point


def _cpu(params: Params, events: int, tracks: int) -> tuple[float, dict[str, int]]:
    log = _logs[params.kafka.topic] = _log(events, tracks)
    run = workload.bounded(params, {0: (0, log.height)}, _MemorySource)
    return run.cpu, run.counts


def _log(events: int, tracks: int) -> pl.DataFrame:
    """Return a log of one partition: ``EVENTS_A_WINDOW`` events an hour, popular tracks more."""
    random = np.random.default_rng([events, tracks])
    track = (tracks * random.random(events) ** 2).astype(np.int64)
    microseconds = np.arange(events) * (3_600_000_000 // EVENTS_A_WINDOW)
    kinds = random.choice(len(EVENT_TYPES), events, p=[0.6, 0.1, 0.1, 0.1, 0.1])
    time = pl.lit(BEGIN).dt.cast_time_unit("us") + pl.col("after").cast(pl.Duration("us"))
    values = pl.DataFrame(
        {
            "number": np.arange(events),
            "after": microseconds,
            "kind": pl.Series(EVENT_TYPES).gather(kinds),
            "country": pl.Series(["CO", "ES", "MX", "US"]).gather(random.integers(0, 4, events)),
            "track": track,
            "artist": track // 4,
            "count": random.integers(1, 20, events),
        }
    ).select(
        pl.concat_str(
            pl.lit('{"schema_version":1,"event_id":"growth:'),
            "number",
            pl.lit('","event_time":"'),
            time.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"),
            pl.lit('","event_type":"'),
            "kind",
            pl.lit('","country":"'),
            "country",
            pl.lit('","track_id":"growthtrack'),
            "track",
            pl.lit('","track_name":"Title '),
            "track",
            pl.lit('","artist_name":"Artist '),
            "artist",
            pl.lit('","count":'),
            "count",
            pl.lit(',"source":"growth"}'),
        ).cast(pl.Binary)
    )
    last = BEGIN + timedelta(hours=events // EVENTS_A_WINDOW + 1000)
    beat = pl.Series([encode_heartbeat(last)], dtype=pl.Binary)
    return pl.DataFrame({"value": pl.concat([values.to_series(), beat])}).select(
        partition=pl.lit(0, pl.Int32),
        offset=pl.int_range(pl.len(), dtype=pl.Int64),
        append_time=pl.lit(datetime(2026, 6, 1, tzinfo=UTC)).cast(LOG_COLUMNS["append_time"]),
        value="value",
    )


def _plot(longer: list[_Point], wider: list[_Point]) -> Figure:
    plot = Figure(figsize=(8, 2.6), layout="constrained")
    axes = plot.subplots(1, 2, sharey=True)
    for axis, points, name, title in (
        (axes[0], longer, "events", "eventos del registro"),
        (axes[1], wider, "tracks", "canciones del catálogo"),
    ):
        costs = [point.cost for point in points]
        axis.fill_between(
            [getattr(point, name) for point in points], 0.8 * costs[0], 1.2 * costs[0], alpha=0.15
        )
        axis.plot([getattr(point, name) for point in points], costs, marker="o")
        axis.set(xscale="log", xlabel=title)
    axes[0].set(ylim=(0, None), ylabel="µs de CPU por evento y fila")
    return plot
