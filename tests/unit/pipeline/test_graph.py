"""The graph against the oracle: the same tables, whatever the order and shape of the work."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agreement import assert_features, assert_tables, settings_of, shape_of
from drawn import in_time, logs, orders
from logs import (
    BASE,
    Output,
    Run,
    counters_of,
    ends_of,
    event_log,
    features_of,
    random_events,
    read_again,
    records_of,
    run_graph,
    to_log,
)
from oracle import Rules, expected
from spotify_mlops.domain.events import encode
from spotify_mlops.domain.watermark import watermark
from spotify_mlops.pipeline import steps
from spotify_mlops.pipeline.position import Position, start_of_log
from thorough import examples

RULES = Rules()
HOURS = 8


rules = st.builds(
    Rules,
    window=st.sampled_from([timedelta(minutes=10), timedelta(minutes=7), timedelta(seconds=45)]),
    window_offset=st.sampled_from([timedelta(0), timedelta(seconds=20)]),
    lateness=st.sampled_from([timedelta(0), timedelta(minutes=2), timedelta(minutes=20)]),
    lags=st.sampled_from([(), (1,), (1, 2, 6)]),
    target=st.sampled_from(["plays", "api"]),
    horizon=st.integers(1, 3),
)
Cut = tuple[int, int, int, int | None]
"""Shards, windows of a bucket, records of a batch, windows of the backlog (None: all)."""
backlogs = st.none() | st.integers(0, 20)
shapes = st.tuples(
    st.integers(1, 4), st.sampled_from([1, 2, 5, 1000]), st.integers(1, 70), backlogs
)


@given(st.data(), rules, shapes, st.integers(1, 4))
@examples(8)
def test_any_log_in_any_shape_gives_the_oracles_tables(
    data: st.DataObject, rules: Rules, shape: Cut, partitions: int
) -> None:
    log = data.draw(logs(partitions))
    shards, bucket, batch, backlog = shape
    cut = shape_of(rules, shards, bucket, backlog=backlog)
    run = run_graph(log, settings_of(rules, batch), cut, partitions)
    assert_tables(run, expected(log, partitions, rules), rules)


@given(st.data(), shapes, shapes, st.integers(1, 4), st.integers(1, 4))
@examples(4)
def test_any_order_within_the_lateness_gives_the_same_rows(
    data: st.DataObject,
    first: Cut,
    second: Cut,
    few: int,
    many: int,
) -> None:
    values = data.draw(in_time())
    found = []
    for (shards, bucket, batch, backlog), partitions in ((first, few), (second, many)):
        log = data.draw(orders(values, partitions, RULES.lateness))
        cut = shape_of(RULES, shards, bucket, backlog=backlog)
        run = run_graph(log, settings_of(RULES, batch), cut, partitions)
        assert not run.records["late"].any()
        assert run.counters["counted"].sum() + run.counters["duplicates"].sum() == len(values)
        found.append(run.features)
    assert found[0].equals(found[1])


@given(st.data(), rules, shapes, st.integers(1, 4), st.integers(1, 3))
@examples(4)
def test_any_restarts_leave_the_tables_of_an_undisturbed_run(
    data: st.DataObject, rules: Rules, shape: Cut, partitions: int, stops: int
) -> None:
    log = data.draw(logs(partitions))
    shards, bucket, batch, backlog = shape
    settings, cut = settings_of(rules, batch), shape_of(rules, shards, bucket, backlog=backlog)
    whole = run_graph(log, settings, cut, partitions)
    ends = ends_of(log, partitions)
    position = start_of_log(dict.fromkeys(ends, 0))
    batches: list[pl.DataFrame] = []
    outputs: list[Output] = []
    for _ in range(stops):
        until = {
            p: data.draw(st.integers(position.offsets[p], end), f"end of {p}")
            for p, end in ends.items()
        }
        cut = shape_of(rules, shards, bucket, backlog=data.draw(backlogs))  # it is more by then
        run = run_graph(log, settings, cut, partitions, start=position, ends=until)
        position = interrupt(data, run, cut, batches, outputs)
    run = run_graph(log, settings, cut, partitions, start=position)
    assert records_of([*batches, *run.batches]).equals(whole.records)
    assert features_of([*outputs, *run.outputs]).equals(whole.features)
    assert counters_of([*outputs, *run.outputs]).equals(whole.counters)
    assert run.progress.marks == whole.progress.marks


def up_to(count: int) -> st.SearchStrategy[int]:
    """Draw a number up to ``count``, and ``count`` itself often."""
    return st.just(count) | st.integers(0, count)


def interrupt(
    data: st.DataObject,
    run: Run,
    cut: steps.Shape,
    batches: list[pl.DataFrame],
    outputs: list[Output],
) -> Position:
    """Kill a run: some of what it gave is written, some of that acknowledged; the rest is lost."""
    written = data.draw(up_to(len(run.batches)), "batches written")
    batches += run.batches[:written]
    following: dict[int, int] = {}
    for batch in run.batches[: data.draw(up_to(written), "acknowledged")]:
        following |= batch.group_by("partition").agg(pl.col("offset").max() + 1).iter_rows()
    if following:
        run.progress.acknowledge_raw("Collect", following)
    written = data.draw(up_to(len(run.outputs)), "outputs written")
    outputs += run.outputs[:written]
    for output in run.outputs[1 : data.draw(up_to(written), "acknowledged")]:
        pending = run.progress.pending(output.shard, output.end)
        run.progress.acknowledge_windows(output.shard, pending)
    position = Position.from_json(run.progress.position().to_json())
    return read_again(position, batches, cut)


@pytest.fixture(scope="module")
def log() -> pl.DataFrame:
    events = random_events(4000, HOURS * 3600, seed=1)
    repeated = pl.concat([events, events[::50]]).sort("event_time", maintain_order=True)
    last = BASE + timedelta(hours=HOURS, minutes=12)
    return event_log(repeated, last)


@pytest.mark.parametrize(
    ("bucket", "shards", "rules"),
    [(1000, 1, RULES), (7, 3, RULES), (1, 2, RULES), (7, 3, Rules(target="api"))],
)
def test_a_longer_log_gives_the_oracles_tables(
    log: pl.DataFrame, bucket: int, shards: int, rules: Rules
) -> None:
    run = run_graph(log, settings_of(rules, 700), shape_of(rules, shards, bucket))
    assert_tables(run, expected(log, 4, rules), rules)
    assert run.counters["counted"].sum() == 4000
    assert run.counters["duplicates"].sum() == 80


@pytest.mark.parametrize("at", [0.3, 0.7])
def test_a_restart_writes_what_is_missing_and_nothing_else(log: pl.DataFrame, at: float) -> None:
    settings, cut = settings_of(RULES, 700), shape_of(RULES, 2, 5)
    first = run_graph(log[: int(log.height * at)].sort("partition", "offset"), settings, cut)
    first.progress.acknowledge_raw("Collect", first.progress.offsets)
    first.progress.acknowledge_all()
    position = read_again(first.progress.position(), first.batches, cut)
    assert position.write_from is not None
    assert sum(position.offsets.values()) > 0
    second = run_graph(log, settings, cut, start=position)
    assert second.features["window_start"].min() >= position.write_from
    both = features_of([*first.outputs, *second.outputs])
    assert_features(both, expected(log, 4, RULES).features)


def test_unfinished_windows_are_not_written() -> None:
    log = event_log(random_events(2000, 3 * 3600, seed=2), None)
    run = run_graph(log, settings_of(RULES, 700), shape_of(RULES, 2, 5))
    reached = watermark(run.progress.marks, RULES.lateness)
    assert reached is not None
    assert run.counters["window_start"].max() + RULES.window <= reached
    assert 0 < run.counters["counted"].sum() < 2000
    assert_tables(run, expected(log, 4, RULES), RULES)


def test_nothing_is_written_while_a_partition_is_silent() -> None:
    values = encode(random_events(500, 7200, seed=3))
    log = pl.concat([to_log(values, [0] * 500, None, 1), to_log([b"{"], [1], None, 2)])
    run = run_graph(log, settings_of(RULES, 700), shape_of(RULES, 2, 5), partitions=2)
    assert run.features.is_empty()
    assert run.counters.is_empty()
    assert run.progress.position().offsets == {0: 0, 1: 0}
