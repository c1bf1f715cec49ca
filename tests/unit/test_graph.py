"""The graph against the plain computation over the whole log."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from logs import BASE, event_log, random_events, run_graph, to_log

from spotify_mlops import features, params
from spotify_mlops.events import decode, encode
from spotify_mlops.pipeline import marks, steps
from spotify_mlops.windows import Windowing

PARAMS = params.load(
    "local", window="10m", lags=[1, 2, 6], archive="/nonexistent", batch_records=700
)
WINDOWING = Windowing.of(PARAMS)
HOURS = 8


def plain(log: pl.DataFrame, closed_until: object) -> pl.DataFrame:
    """Return the features of all closed windows, computed at once."""
    start = dict.fromkeys(log["partition"].unique(), None)
    marked, _ = marks.mark(decode(log, PARAMS.clock_skew), start, PARAMS.allowed_lateness)
    timely = steps.events(marked, WINDOWING).filter(~pl.col("late"))
    closed = timely.filter(pl.col("window_start") + WINDOWING.length <= closed_until)
    unique, _ = features.dedup(closed)
    return features.reference(unique, WINDOWING, PARAMS.lags)


@pytest.fixture(scope="module")
def log() -> pl.DataFrame:
    events = random_events(4000, HOURS * 3600, seed=1)
    repeated = pl.concat([events, events[::50]]).sort("event_time", maintain_order=True)
    last = BASE + timedelta(hours=HOURS, minutes=12)
    return event_log(repeated, last)


@pytest.mark.parametrize(("pane", "shards"), [(1000, 1), (7, 3), (1, 2)])
def test_graph_equals_the_plain_computation(log: pl.DataFrame, pane: int, shards: int) -> None:
    shape = steps.Shape(WINDOWING, tuple(PARAMS.lags), shards, pane)
    found, counters, _ = run_graph(f"plain-{pane}-{shards}", log, PARAMS, shape)
    expected = plain(log, BASE + timedelta(hours=HOURS, minutes=10))
    assert found.equals(expected)
    assert counters["counted"].sum() == 4000
    assert counters["duplicates"].sum() == 80


def test_unfinished_windows_are_not_written() -> None:
    events = random_events(2000, 3 * 3600, seed=2)
    log = event_log(events, None)
    shape = steps.Shape(WINDOWING, tuple(PARAMS.lags), 2, 5)
    found, counters, kept = run_graph("unfinished", log, PARAMS, shape)
    reached = marks.watermark(kept.marks, PARAMS.allowed_lateness)
    assert reached is not None
    assert found.equals(plain(log, reached))
    assert counters["window_start"].max() + WINDOWING.length <= reached
    assert counters["counted"].sum() < 2000


def test_nothing_is_written_while_a_partition_is_silent() -> None:
    values = encode(random_events(500, 7200, seed=3))
    log = pl.concat([to_log(values, [0] * 500, None, 1), to_log([b"{"], [1], None, 2)])
    shape = steps.Shape(WINDOWING, tuple(PARAMS.lags), 2, 5)
    found, counters, kept = run_graph("silent", log, PARAMS, shape)
    assert found.is_empty()
    assert counters.is_empty()
    assert kept.position().offsets == {0: 0, 1: 0}


@pytest.mark.parametrize("at", [0.2, 0.55, 0.9])
def test_a_restart_writes_what_is_missing_and_nothing_else(log: pl.DataFrame, at: float) -> None:
    shape = steps.Shape(WINDOWING, tuple(PARAMS.lags), 2, 5)
    whole, _, _ = run_graph(f"whole-{at}", log, PARAMS, shape)
    first = log[: int(log.height * at)].sort("partition", "offset")
    before, _, kept = run_graph(f"first-{at}", first, PARAMS, shape)
    kept.acknowledge_all()
    position = kept.position()
    after, _, _ = run_graph(f"second-{at}", log, PARAMS, shape, start=position)
    assert after["window_start"].min() >= position.write_from
    assert pl.concat([before, after]).sort("window_start", "country", "track_id").equals(whole)
