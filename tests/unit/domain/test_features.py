"""Features: the arithmetic, and that neither row order nor batching nor the future matters."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from spotify_mlops.domain import features
from spotify_mlops.domain.events import COUNTRIES, EVENT_COLUMNS, EVENT_TYPES
from spotify_mlops.domain.windows import Windowing

START = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = Windowing(timedelta(hours=1))
LAGS = [1, 2, 4]
INPUTS = features.Inputs(tuple(LAGS), ("CO", "ES", "MX", "US"))
SCHEMA = EVENT_COLUMNS | {"partition": pl.Int32, "offset": pl.Int64}


def frame_of(rows: list[dict]) -> pl.DataFrame:
    """Return events with what the rows do not say filled in."""
    base = {"event_type": "play", "country": "CO", "track_id": "t1", "count": 1, "source": "test"}
    full = [
        {"event_id": f"e{i}", "partition": 0, "offset": i, "event_time": START} | base | row
        for i, row in enumerate(rows)
    ]
    return pl.DataFrame(full, schema=SCHEMA)


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def row_of(frame: pl.DataFrame, hour: int, country: str, track: str) -> dict:
    found = frame.filter(
        (pl.col("window_start") == at(hour))
        & (pl.col("country") == country)
        & (pl.col("track_id") == track)
    )
    assert found.height == 1
    return found.row(0, named=True)


event_rows = st.fixed_dictionaries(
    {
        "event_time": st.integers(0, 7 * 60 - 1).map(lambda minutes: at(minutes / 60)),
        "event_type": st.sampled_from(EVENT_TYPES),
        "country": st.sampled_from(["CO", "ES", "BR"]),
        "track_id": st.sampled_from(["t1", "t2", "t3", "t4"]),
        "artist_name": st.sampled_from([None, "A", "B"]),
        "track_name": st.sampled_from([None, "X", "Y"]),
        "count": st.integers(1, 50),
        "popularity": st.none() | st.integers(0, 100),
        "release_date": st.none() | st.dates(date(2025, 12, 30), date(2026, 1, 6)),
    }
)
events_frames = st.lists(event_rows, max_size=60).map(frame_of)


def windowed(events: pl.DataFrame) -> pl.DataFrame:
    return events.with_columns(window_start=HOUR.start_expr("event_time"))


def test_dedup_keeps_the_lowest_position() -> None:
    rows = [
        {"event_id": "a", "partition": 1, "offset": 5, "count": 1},
        {"event_id": "a", "partition": 0, "offset": 9, "count": 2},
        {"event_id": "a", "partition": 1, "offset": 2, "count": 3},
        {"event_id": "a", "partition": 1, "offset": 3, "country": "ES"},
        {"event_id": "b", "partition": 1, "offset": 4},
    ]
    unique, duplicates = features.dedup(frame_of(rows))
    assert unique.select("partition", "offset").rows() == [(0, 9), (1, 3), (1, 4)]
    assert duplicates.select("partition", "offset").rows() == [(1, 2), (1, 5)]
    assert unique.schema == duplicates.schema == frame_of(rows).schema


@given(events_frames, st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_dedup_parts_add_up(events: pl.DataFrame, repeats: int) -> None:
    copies = [events.with_columns(pl.col("offset") + 1000 * i) for i in range(repeats + 1)]
    unique, duplicates = features.dedup(pl.concat(copies[::-1]))
    assert_frame_equal(unique, events)
    assert duplicates.height == events.height * repeats


def test_aggregate_sums_counts_by_type() -> None:
    rows = [
        {"event_type": "play", "count": 5, "track_name": "Z", "popularity": 10},
        {"event_type": "skip", "count": 2, "track_name": "B", "release_date": date(2026, 1, 2)},
        {"event_type": "search_result", "count": 3, "release_date": date(2025, 1, 2)},
        {"event_type": "new_release", "artist_name": "A"},
        {"event_type": "recommendation", "count": 4, "popularity": 60},
        {"event_time": at(1), "count": 7},
    ]
    result = features.aggregate(windowed(frame_of(rows)))
    assert dict(result.schema) == features.AGGREGATE_SCHEMA
    first, second = result.rows(named=True)
    assert [first[c] for c in ("n", "plays", "skips", "searches", "releases")] == [15, 5, 2, 3, 1]
    assert first["recommendations"] == 4
    assert (first["track_name"], first["artist_name"]) == ("B", "A")
    assert (first["release_date"], first["popularity"]) == (date(2025, 1, 2), 60)
    assert (second["n"], second["plays"], second["popularity"]) == (7, 7, None)


def test_sums_stop_where_integers_would_wrap_around() -> None:
    huge = 4 * 10**17
    rows = [{"count": huge, "event_type": kind} for kind in ["play"] * 30 + ["skip"] * 2]
    rows += [{"track_id": "t2", "count": 7}]
    first, second = features.aggregate(windowed(frame_of(rows))).rows(named=True)
    assert [first[name] for name in ("n", "plays", "skips")] == [10**18, 10**18, 2 * huge]
    assert (second["n"], second["plays"]) == (7, 7)
    built = features.reference(frame_of(rows), HOUR, INPUTS).row(0, named=True)
    assert math.isclose(built["log_plays"], math.log(10**18))
    assert 0 < built["skip_rate"] < 1


def test_rank_shares_ties_and_leaves_out_tracks_without_plays() -> None:
    rows = [
        {"track_id": "low", "count": 1},
        {"track_id": "tie1", "count": 5},
        {"track_id": "tie2", "count": 5},
        {"track_id": "top", "count": 9},
        {"track_id": "silent", "event_type": "search_result", "count": 100},
        {"track_id": "elsewhere", "country": "ES", "count": 1},
    ]
    ranked = features.rank(features.aggregate(windowed(frame_of(rows))))
    assert dict(ranked.schema) == features.RANKED_SCHEMA
    scores = dict(zip(ranked["track_id"], ranked["play_score"], strict=True))
    assert scores == {
        "low": 25.0, "tie1": 62.5, "tie2": 62.5, "top": 100.0, "silent": None, "elsewhere": 100.0,
    }  # fmt: skip
    attention = dict(zip(ranked["track_id"], ranked["attention_rank"], strict=True))
    assert attention["silent"] == 100.0 and attention["low"] == 20.0


def test_rank_sees_the_artists_other_tracks() -> None:
    rows = [
        {"track_id": "t1", "artist_name": "A", "count": 1},
        {"track_id": "t2", "artist_name": "A", "count": 2},
        {"track_id": "t3", "artist_name": "B", "count": 3},
        {"track_id": "t4", "artist_name": None, "count": 4},
        {"track_id": "t5", "artist_name": None, "count": 5},
    ]
    ranked = features.rank(features.aggregate(windowed(frame_of(rows))))
    assert ranked["artist_tracks"].to_list() == [2, 2, 1, 1, 1]
    assert ranked["artist_best_score"].to_list() == [40.0, 20.0, 0.0, 0.0, 0.0]


def test_carry_stamps_forward() -> None:
    ranked = features.rank(features.aggregate(windowed(frame_of([{"count": 3}]))))
    carried = features.carry(ranked, LAGS, HOUR)
    assert dict(carried.schema) == features.CARRIED_SCHEMA
    assert carried.select("window_start", "lag").rows() == [(at(k), k) for k in LAGS]


def test_build_reads_lags_and_other_countries() -> None:
    rows = [
        # An hour ago: here 2 of 2 tracks, in ES alone at the top.
        {"event_time": at(3), "track_id": "t1", "count": 8},
        {"event_time": at(3), "track_id": "t2", "count": 1},
        {"event_time": at(3), "track_id": "t1", "country": "ES", "count": 4},
        {"event_time": at(3), "track_id": "t1", "country": "ES", "event_type": "search_result"},
        # Four hours ago only in ES.
        {"event_time": at(0), "track_id": "t1", "country": "ES"},
        # Now.
        {"event_time": at(4), "track_id": "t1", "count": 1},
        {"event_time": at(4), "track_id": "t1", "event_type": "skip", "count": 3},
        {"event_time": at(4), "track_id": "t2", "count": 5},
        {"event_time": at(4), "track_id": "t1", "country": "BR", "count": 5},
        {"event_time": at(4), "track_id": "t1", "country": "ES", "event_type": "search_result"},
    ]
    built = features.reference(frame_of(rows), HOUR, INPUTS)
    here = row_of(built, 4, "CO", "t1")
    assert (here["country_rank"], here["score_lag_1"], here["momentum"]) == (50.0, 100.0, -50.0)
    assert (here["score_lag_2"], here["score_lag_4"]) == (0.0, 0.0)
    assert here["skip_rate"] == 0.75
    assert (here["other_countries"], here["other_best_score"]) == (2.0, 100.0)
    assert here["other_mean_score"] == 50.0  # BR 100, ES without plays 0
    assert (here["other_score_lag_1"], here["other_score_lag_4"]) == (100.0, 100.0)
    assert (here["age"], here["age_from_release"], here["lags_present"]) == (1.0, 0.0, 1.0)
    assert here["peak_score"] == 100.0 and here["mean_score"] == 150 / 4
    assert here["hour_of_day"] == 4.0 and here["day_of_week"] == 0.0
    assert math.isclose(here["plays_lag_1"], math.log(9 / 2))
    # Here 1 play against 5 now, 8 against 1 an hour ago and nothing before: p40 is 1 both times.
    now, before, absent = math.log(2 / 2), math.log(9 / 2), -math.log(2)
    assert math.isclose(here["plays_change_1"], now - before)
    assert math.isclose(here["plays_change_4"], now - absent)
    assert math.isclose(here["plays_acceleration"], (now - before) - (before - absent))
    brazil = row_of(built, 4, "BR", "t1")
    for row in (here, brazil):
        assert math.isclose(row["plays_in_CO"], now)
        assert math.isclose(row["plays_momentum_in_CO"], now - before)
        assert row["plays_momentum_in_US"] == 0
    assert here["plays_in_US"] == absent and math.isclose(brazil["plays_in_MX"], -math.log(6))
    there = row_of(built, 4, "ES", "t1")
    assert there["play_score"] is None and there["country_rank"] == 0.0
    assert there["event_type_search_result"] == 1.0
    assert math.isclose(there["signals_lag_1"], math.log(2))
    assert (there["country_ES"], there["country_CO"], there["age"]) == (1.0, 0.0, 4.0)
    assert [brazil[f"country_{code}"] for code in INPUTS.countries] == [0.0] * 4


def test_age_counts_from_the_release_wherever_it_was_told() -> None:
    rows = [
        {"event_time": at(0), "country": "ES", "release_date": date(2026, 1, 4)},
        {"event_time": at(4), "country": "CO"},
        {"event_time": at(0), "track_id": "t2", "release_date": date(2026, 1, 20)},
    ]
    built = features.reference(frame_of(rows), HOUR, INPUTS)
    assert row_of(built, 4, "CO", "t1")["age"] == 24 + 5  # windows from 4 January to the end
    assert row_of(built, 0, "CO", "t2")["age"] == 0.0  # announced, not yet out


@given(events_frames, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_order_of_rows_does_not_matter(events: pl.DataFrame, random) -> None:
    order = list(range(events.height))
    random.shuffle(order)
    expected = features.reference(events, HOUR, INPUTS)
    assert_frame_equal(features.reference(events[order], HOUR, INPUTS), expected, check_exact=True)
    ranked = features.rank(features.aggregate(windowed(events)))
    carried = features.carry(ranked, LAGS, HOUR)
    again = features.build(ranked[::-1], carried[::-1], INPUTS, HOUR)
    assert_frame_equal(again, expected, check_exact=True)


@given(events_frames)
@settings(max_examples=40, deadline=None)
def test_one_window_at_a_time_and_one_shard_at_a_time_are_the_whole(events: pl.DataFrame) -> None:
    events = windowed(events)
    aggregates = [features.aggregate(part) for part in events.partition_by("window_start")]
    ranked = [
        features.rank(part) for window in aggregates for part in window.partition_by("country")
    ]
    everything = pl.concat([pl.DataFrame(schema=features.RANKED_SCHEMA), *ranked])
    carried = features.carry(everything, LAGS, HOUR)
    built = [
        # A shard gets the copies of all its tracks, whichever window they are for.
        features.build(part, carried.filter(pl.col("track_id").is_in(shard)), INPUTS, HOUR)
        for shard in (["t1"], ["t2"], ["t3", "t4"])  # one row alone is a case of its own
        for part in everything.filter(pl.col("track_id").is_in(shard)).partition_by("window_start")
    ]
    expected = features.reference(events.drop("window_start"), HOUR, INPUTS)
    together = pl.concat([expected.clear(), *built]).sort(features.ROW_KEY)
    assert_frame_equal(together, expected, check_exact=True)


def test_a_track_alone_has_the_features_that_it_has_among_others() -> None:
    """To the last bit: polars divides by a column of one value otherwise than by any other."""
    rows = [
        {
            "event_time": at(number % 3),
            "event_type": EVENT_TYPES[number % len(EVENT_TYPES)],
            "country": ("CO", "ES", "MX", "US")[number % 13 % 4],
            "track_id": f"t{number % 20}",
            "count": 1 + number * 7 % 60,
            "release_date": date(2025, 12, 1) + timedelta(days=number % 20),
        }
        for number in range(600)
    ]
    ranked = features.rank(features.aggregate(windowed(frame_of(rows))))
    carried = features.carry(ranked, LAGS, HOUR)
    whole = features.build(ranked, carried, INPUTS, HOUR)
    alone = [
        features.build(
            part, carried.filter(pl.col("track_id") == part["track_id"][0]), INPUTS, HOUR
        )
        for part in ranked.partition_by("window_start", "track_id")
    ]
    assert_frame_equal(pl.concat(alone).sort(features.ROW_KEY), whole, check_exact=True)


@given(events_frames, st.integers(0, 6))
@settings(max_examples=60, deadline=None)
def test_the_future_does_not_leak(events: pl.DataFrame, hour: int) -> None:
    """Features up to a window are the same with and without everything that came after it."""
    end = at(hour + 1)
    whole = features.reference(events, HOUR, INPUTS)
    past = features.reference(events.filter(pl.col("event_time") < end), HOUR, INPUTS)
    assert_frame_equal(whole.filter(pl.col("window_start") < end), past, check_exact=True)


@given(events_frames)
@settings(max_examples=30, deadline=None)
def test_features_equal_a_plain_loop(events: pl.DataFrame) -> None:
    plays: dict = defaultdict(lambda: defaultdict(int))
    totals: dict = defaultdict(int)
    for row in events.rows(named=True):
        hour = int((row["event_time"] - START) / timedelta(hours=1))
        played = row["count"] if row["event_type"] == "play" else 0
        plays[hour, row["country"]][row["track_id"]] += played
        totals[hour, row["country"], row["track_id"]] += row["count"]

    def score(hour: int, country: str, track: str) -> float:
        mine = plays[hour, country].get(track, 0)
        others = [p for p in plays[hour, country].values() if p > 0]
        below, equal = sum(p < mine for p in others), sum(p == mine for p in others)
        return 100 * (below + (equal + 1) / 2) / len(others) if mine else 0.0

    built = features.reference(events, HOUR, INPUTS)
    assert built.height == len(totals)
    for row in built.rows(named=True):
        hour = int((row["window_start"] - START) / timedelta(hours=1))
        country, track = row["country"], row["track_id"]
        assert row["n"] == totals[hour, country, track]
        assert math.isclose(row["country_rank"], score(hour, country, track))
        for lag in LAGS:
            assert math.isclose(row[f"score_lag_{lag}"], score(hour - lag, country, track))
            elsewhere = [
                score(hour - lag, other, track)
                for other in ("CO", "ES", "BR")
                if other != country and (hour - lag, other, track) in totals
            ]
            mean = sum(elsewhere) / len(elsewhere) if elsewhere else 0.0
            assert math.isclose(row[f"other_score_lag_{lag}"], mean, abs_tol=1e-5)


def test_empty_frames_have_the_right_columns() -> None:
    full = features.reference(frame_of([{}]), HOUR, INPUTS)
    ranked = features.rank(features.aggregate(windowed(frame_of([]))))
    nothing = features.build(ranked, features.carry(ranked, LAGS, HOUR), INPUTS, HOUR)
    assert dict(ranked.schema) == features.RANKED_SCHEMA
    assert nothing.schema == full.schema and nothing.is_empty()
    alone = features.build(
        features.rank(features.aggregate(windowed(frame_of([{}])))),
        pl.DataFrame(schema=features.CARRIED_SCHEMA),
        INPUTS,
        HOUR,
    )
    assert_frame_equal(alone, full)


def test_names_start_with_the_six_and_cover_every_input() -> None:
    seed = INPUTS.names("seed")
    dynamics = INPUTS.names()
    assert seed == [
        "hour_of_day", "event_type_search_result",
        "country_CO", "country_ES", "country_MX", "country_US",
    ]  # fmt: skip
    assert dynamics[:6] == seed and len(set(dynamics)) == len(dynamics)
    built = features.reference(frame_of([{}]), HOUR, INPUTS)
    inputs = built.select(dynamics)
    assert set(inputs.dtypes) == {pl.Float64}
    assert not inputs.select(pl.any_horizontal(pl.all().is_null() | ~pl.all().is_finite())).item()
    with pytest.raises(ValueError, match="unknown"):
        INPUTS.names("other")
    nothing = features.Inputs((), ())
    built = features.reference(frame_of([{}]), HOUR, nothing)
    assert built.select(nothing.names())["age"].to_list() == [0.0]


@pytest.mark.parametrize("codes", [("BR",), ("GB", "DE"), tuple(sorted(COUNTRIES)[:20])])
def test_the_countries_of_the_model_are_any_in_any_number(codes: tuple[str, ...]) -> None:
    inputs = features.Inputs((1,), codes)
    rows = [{"country": code, "count": n} for n, code in enumerate(codes, 1)]
    built = features.reference(frame_of([*rows, {"country": "CO"}]), HOUR, inputs)
    own = built.select(inputs.names("seed")[2:])
    assert own.columns == [f"country_{code}" for code in codes]
    by_country = dict(zip(built["country"], own.rows(), strict=True))
    assert by_country.pop("CO") == (0.0,) * len(codes)
    assert by_country == {c: tuple(float(c == other) for other in codes) for c in codes}
    for n, code in enumerate(codes, 1):
        plays = built.filter(country=code)["plays_over_p40"].item()
        assert built[f"plays_in_{code}"].to_list() == [plays] * built.height, n
