"""Several sources: the tables of one, and nothing that is lost between the steps goes unseen."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agreement import settings_of, shape_of
from drawn import logs
from logs import BASE, collecting, event_log, random_events, run_graph
from oracle import Rules
from spotify_mlops.config.errors import IntegrityError
from spotify_mlops.domain.events import Ahead, decode
from spotify_mlops.domain.watermark import mark
from spotify_mlops.domain.windows import Windowing
from spotify_mlops.pipeline import steps
from spotify_mlops.pipeline.position import start_of_log
from spotify_mlops.pipeline.restriction import LogPosition
from thorough import examples

RULES = Rules()
HOUR = timedelta(hours=1)


@given(st.data(), st.integers(1, 5), st.integers(2, 4), st.sampled_from([1, 2, 1000]))
@examples(6)
def test_any_log_gives_the_same_tables_through_several_sources(
    data: st.DataObject, partitions: int, sources: int, bucket: int
) -> None:
    log = data.draw(logs(partitions))
    settings = settings_of(RULES, 7)
    one = run_graph(log, settings, shape_of(RULES, 2, bucket), partitions)
    parted = shape_of(RULES, 2, bucket, min(sources, partitions))
    several = run_graph(log, settings, parted, partitions)
    assert several.features.equals(one.features)
    assert several.counters.equals(one.counters)
    assert several.records.equals(one.records)


def test_a_source_closes_windows_in_which_only_others_have_something() -> None:
    first = random_events(60, 3600, seed=1)
    later = random_events(60, 3600, seed=2).with_columns(pl.col("event_time").dt.offset_by("9h"))
    slots = steps.slot_of(first["track_id"]) % 2
    # A partition has the first hour to itself, and the other one the last.
    events = pl.concat(
        [first.filter(slots == 0), later.filter(steps.slot_of(later["track_id"]) % 2 == 1)]
    )
    log = event_log(events, BASE + 12 * HOUR, 2)
    settings = settings_of(RULES, 7)
    one = run_graph(log, settings, shape_of(RULES, 2, 1), 2)
    two = run_graph(log, settings, shape_of(RULES, 2, 1, 2), 2)
    assert one.features["window_start"].n_unique() > 6
    assert two.features.equals(one.features)


def test_nothing_is_closed_while_a_source_has_read_nothing() -> None:
    log = event_log(random_events(60, 3600, seed=1), None, 1)
    run = run_graph(log, settings_of(RULES, 7), shape_of(RULES, 2, 1, 2), partitions=2)
    assert run.records.height == log.height
    assert run.features.is_empty()


def test_each_partition_is_of_one_source() -> None:
    whole = LogPosition.at(dict.fromkeys(range(5), 3), dict.fromkeys(range(5), BASE), None)
    parts = whole.of_sources(3, BASE)
    assert [sorted(part.offsets) for part in parts] == [[0, 3], [1, 4], [2]]
    assert [part.source for part in parts] == [0, 1, 2]
    assert {part.floor_time for part in parts} == {BASE}


def test_the_first_window_is_waited_for_until_somebody_says_stop() -> None:
    log = event_log(random_events(60, 3600, seed=1), None, 1)
    start = start_of_log({0: 0, 1: 0})
    looks = iter([False, False, True])
    with collecting(log, settings_of(RULES, 7), shape_of(RULES, 2, 1, 2), start) as (source, _, _):
        empty = LogPosition.at(start.offsets, start.marks, None)
        assert source.floor(empty, lambda: next(looks)) is None
        assert next(looks, None) is None
        first = source.floor(LogPosition.at({0: 0}, {0: None}, None))
    assert first == Windowing(RULES.window, RULES.window_offset).start(BASE - RULES.lateness)


@pytest.fixture
def pieces() -> list[steps.Piece]:
    shape = shape_of(RULES, 1, 1)
    log = event_log(random_events(40, 600, seed=3), None, 1)
    decoded = decode(log, Ahead.of(settings_of(RULES, 7).windows))
    marked, _ = mark(decoded, {0: None}, RULES.lateness)
    events = steps.events(marked, shape.windowing)
    sent = list(steps.by_shard(events, shape))
    counted = steps.count_sent(sent, {}, shape)
    window = min(counted)
    closed = steps.closing({window: counted[window]}, 0, window + RULES.window, shape)
    return [piece for piece in (*sent, *closed) if piece.bucket == window]


def test_what_came_is_compared_with_what_was_sent(pieces: list[steps.Piece]) -> None:
    shape = shape_of(RULES, 1, 1)
    events, closing = (piece.frame for piece in pieces)
    summary = steps.summarise([events, closing], shape)
    assert summary is not None
    _, counters = summary
    assert counters.select("counted", "duplicates").sum().row(0) == (events.height, 0)
    for came in ([events[1:], closing], [events, events[:1], closing], [closing]):
        with pytest.raises(IntegrityError, match=rf"enviaron {events.height}"):
            steps.summarise(came, shape)


def test_without_its_closing_a_window_is_not_written(pieces: list[steps.Piece]) -> None:
    events, closing = (piece.frame for piece in pieces)
    two = shape_of(RULES, 1, 1, sources=2)
    for came, shape in (([events], shape_of(RULES, 1, 1)), ([events, closing], two)):
        assert steps.summarise(came, shape) is None
