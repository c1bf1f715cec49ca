"""The simulator injects exactly what it says, by the log's own definitions."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spotify_mlops.config import params
from spotify_mlops.config.errors import ParamsError
from spotify_mlops.domain.events import DUPLICATE_KEY, EVENT_COLUMNS, Ahead, decode
from spotify_mlops.domain.hashing import partition_of
from spotify_mlops.sources.ingest import simulator_key
from spotify_mlops.sources.malformed import REASONS
from spotify_mlops.sources.simulator import Simulator, check_dates, records
from spotify_mlops.sources.world import SUPPORTED_COUNTRIES, World

NOW = datetime(2027, 1, 1, tzinfo=UTC)


def small(**overrides: object) -> params.Params:
    values = {"simulator_days": 2, "simulator_events": 20_000, "simulator_tracks": 120}
    return params.load("local", **(values | overrides))


def decoded(profile: params.Params, frame: pl.DataFrame) -> pl.DataFrame:
    """Publish the rows into an imaginary log and read them back."""
    log = records(frame).with_columns(
        offset=pl.int_range(pl.len()).over("partition"),
        append_time=pl.lit(NOW, pl.Datetime("us", "UTC")),
    )
    return decode(
        log.select("partition", "offset", "append_time", "value"), Ahead.of(profile.windows)
    )


def answers(profile: params.Params, log: pl.DataFrame) -> list[str]:
    """Say of every record what the audit says, straight from the definitions, one at a time."""
    marks: dict[int, datetime] = {}
    seen: dict[tuple[object, ...], bool] = defaultdict(bool)
    result = []
    for row in log.iter_rows(named=True):
        if row["kind"] == "dead_letter":
            result.append(row["reason"])
            continue
        mark = marks.get(row["partition"])
        if mark is not None and row["event_time"] < mark - profile.windows.allowed_lateness:
            result.append("late")
            continue
        marks[row["partition"]] = max(mark or row["event_time"], row["event_time"])
        key = tuple(row[name] for name in DUPLICATE_KEY)
        result.append("duplicate" if seen[key] else "event")
        seen[key] = True
    return result


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 1000),
    partitions=st.integers(1, 9),
    lateness=st.sampled_from(["0s", "1ms", "2m", "3h"]),
    events=st.integers(1, 4000),
)
def test_what_is_injected_is_what_the_log_says(
    seed: int, partitions: int, lateness: str, events: int
) -> None:
    profile = small(
        simulator_seed=seed,
        partitions=partitions,
        allowed_lateness=lateness,
        simulator_events=events,
        simulator_days=1,
        late_share=0.1,
        duplicate_share=0.1,
        malformed_share=0.05,
    )
    frame = Simulator(profile).interval(0, 24)
    said = frame["injected"].fill_null("event").to_list()
    assert answers(profile, decoded(profile, frame)) == said


def test_every_share_is_met_exactly() -> None:
    profile = small()
    frame = pl.concat(Simulator(profile).history())
    counts = dict(frame["injected"].fill_null("ordinary").value_counts().iter_rows())
    malformed = sum(counts.get(reason.value, 0) for reason in REASONS)
    assert counts["late"] == 200
    assert counts["duplicate"] == 400
    assert malformed == 200
    assert counts["ordinary"] + counts["late"] == 20_000


def test_every_reason_is_injected_and_found() -> None:
    profile = small(malformed_share=0.2)
    frame = Simulator(profile).interval(0, 24)
    result = decoded(profile, frame)
    broken = frame["injected"].is_in([reason.value for reason in REASONS]).fill_null(False)
    assert result.filter(broken)["reason"].to_list() == frame.filter(broken)["injected"].to_list()
    assert set(result["reason"].drop_nulls()) == {reason.value for reason in REASONS}
    assert result.filter(~broken)["reason"].null_count() == (~broken).sum()


def test_any_hour_can_be_drawn_alone_and_the_live_part_goes_on_in_the_same_world() -> None:
    profile = small()
    simulator = Simulator(profile)
    whole = simulator.interval(0, 60)
    assert simulator.history_hours == 48
    again = pl.concat([Simulator(profile).interval(a, b) for a, b in pairwise((0, 7, 30, 48, 60))])
    assert whole.equals(again)
    assert whole["arrival"].is_sorted()
    live = Simulator(profile).hour(48)
    end = simulator.world.end
    assert live["arrival"].min() >= end
    ordinary = live.filter(pl.col("injected").is_null())
    assert ordinary["event_time"].min() >= end
    before = Simulator(profile).interval(47, 48)
    assert len(set(before["track_id"]) & set(live["track_id"])) == 47


def test_events_arrive_out_of_order_within_the_allowed_lateness() -> None:
    profile = small()
    frame = Simulator(profile).interval(1, 24).filter(pl.col("injected").is_null())
    delay = frame["arrival"] - frame["event_time"]
    assert delay.min() >= timedelta(0)
    assert delay.max() <= profile.windows.allowed_lateness
    assert not frame["event_time"].is_sorted()


def test_rows_are_events_labelled_synthetic() -> None:
    profile = small()
    frame = Simulator(profile).interval(0, 24)
    assert frame.select(*EVENT_COLUMNS).schema == pl.Schema(EVENT_COLUMNS)
    assert set(frame["source"]) == {"simulator"}
    assert set(frame["country"]) == set(profile.sources.countries)
    assert set(frame["event_type"]) == {
        "play", "skip", "search_result", "new_release", "recommendation",
    }  # fmt: skip
    assert frame["partition"].equals(partition_of(frame["track_id"], profile.kafka.partitions))
    unique = frame.filter(pl.col("injected").is_null() | (pl.col("injected") == "late"))
    assert unique["event_id"].is_unique().all()


def test_another_seed_is_another_world_and_all_six_countries_are_known() -> None:
    first = Simulator(small()).hour(3)
    assert not first.equals(Simulator(small(simulator_seed=8)).hour(3))
    six = Simulator(small(countries=list(SUPPORTED_COUNTRIES))).interval(0, 24)
    assert set(six["country"]) == set(SUPPORTED_COUNTRIES)


def test_listening_follows_the_local_clock() -> None:
    volume = World.of(small(simulator_days=7)).volume(0, 168)
    quietest = volume.reshape(7, 24, -1).mean(axis=0).argmin(axis=0)
    local = dict(zip(small().sources.countries, quietest, strict=True))
    assert (local["CO"] - 5) % 24 in range(2, 6)
    assert (local["ES"] + 1) % 24 in range(2, 6)


def test_searches_and_recommendations_lead_plays() -> None:
    """Who is searched more than played today is played more tomorrow."""
    rates = World.of(small(simulator_days=14)).rates(24, 14 * 24)
    plays, searches = rates[:, :, 0], rates[:, :, 2]
    later = plays[24:]
    now = plays[:-24]
    heard = (now > 1e-4) & (later > 0)
    growth = np.log(later[heard] / now[heard])
    lead = np.log(searches[:-24][heard] / now[heard] + 1e-9)
    assert np.corrcoef(growth, lead)[0, 1] > 0.5


def test_releases_reach_other_countries_with_a_delay() -> None:
    world = World.of(small(countries=list(SUPPORTED_COUNTRIES)))
    released = world.released[:, np.isfinite(world.released[0])]
    assert released.shape[1] == 96
    delays = released - released.min(axis=0)
    assert (np.sort(delays, axis=0)[1:] > 0).all()


def test_unknown_countries_and_futures_are_refused() -> None:
    with pytest.raises(ParamsError, match="no conoce FR"):
        Simulator(small(countries=["CO", "FR"])).hour(0)
    with pytest.raises(ParamsError, match="futuro"):
        check_dates(small(), datetime(2026, 1, 5, tzinfo=UTC))
    check_dates(small(), NOW)


def test_the_history_ends_at_a_window_boundary() -> None:
    assert Simulator(small()).history_hours == 48
    weekly = small(window="7d", window_offset="1d")
    end = Simulator(weekly).world.end
    assert end.weekday() == 4
    assert end.hour == 0


def test_each_regime_day_changes_the_fashions_and_nothing_else() -> None:
    still, once, again, twice = (
        Simulator(small(simulator_regime_day=days)) for days in (None, 0.5, [0.5], [0.5, 1.25])
    )
    whole = still.interval(0, 48)
    assert once.interval(0, 48).equals(again.interval(0, 48))
    # Searches follow the fashions at once, and some plays a day later what they were then.
    for changed, times in ((once, 1), (twice, 2)):
        interest = [changed.world._interest(np.array([hour + 0.5]))[0] for hour in range(48)]
        rest = [still.world._interest(np.array([hour + 0.5]))[0] for hour in range(48)]
        moved = [not np.array_equal(a, b) for a, b in zip(interest, rest, strict=True)]
        assert moved == [12 <= hour < (30 if times == 2 else 48) for hour in range(48)]
    assert twice.interval(0, 30).equals(once.interval(0, 30))
    assert once.interval(0, 12).equals(whole.filter(pl.col("arrival") < still.time(12)))
    assert not twice.interval(30, 31).equals(once.interval(30, 31))


def test_one_regime_day_in_a_list_is_the_same_history() -> None:
    """And a history that was published when it could only be a number is known still."""
    number, alone, two = (small(simulator_regime_day=days) for days in (10, [10.0], [10, 20]))
    assert number == alone
    keys = [simulator_key(each) for each in (small(), number, two)]
    assert keys == [
        "simulator:7:1ac4148babf063ff",
        "simulator:7:5aae60725e5bcab9",
        "simulator:7:8b5050258c34302b",
    ]


@pytest.mark.parametrize("days", [[], [3, 2], [2, 2], -1, "mañana"])
def test_regime_days_are_refused_unless_they_increase(days: object) -> None:
    with pytest.raises(ParamsError, match="simulator_regime_day"):
        small(simulator_regime_day=days)
