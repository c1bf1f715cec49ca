"""What is decided is a function of the log of decisions and of the evidence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from spotify_mlops.config import params
from spotify_mlops.io.bigquery import tables
from spotify_mlops.model.gate import Check
from spotify_mlops.operations.monitor import policy
from spotify_mlops.operations.monitor.decisions import Decision, Facts
from spotify_mlops.operations.monitor.drift import Alarm
from spotify_mlops.operations.monitor.policy import Comparison, Evidence, Quality, State

PARAMS = params.load("local")
NOW = datetime(2026, 2, 1, tzinfo=UTC)
LOW = Quality(PARAMS.monitor.windows, 0.5, 0.6)
FINE = Quality(PARAMS.monitor.windows, 0.7, 0.6)
DRIFT = Alarm(NOW, 3.0, "skip_rate")


def evidence(**given: object) -> Evidence:
    return replace(Evidence(NOW, None, None, None), **given)


def made(step: str, model: str, other: str | None, hours: int = 0) -> Decision:
    at = NOW - timedelta(hours=100 - hours)
    return Decision(step, at, model, other, "worse", effective_from=at)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("log", "champion", "stage", "challenger"),
    [
        ([], "1", "steady", None),
        ([made("shadow", "2", "1")], "1", "shadow", "2"),
        ([made("shadow", "2", "1"), made("refused", "2", "1")], "1", "steady", None),
        ([made("shadow", "2", "1"), made("canary", "2", "1")], "1", "canary", "2"),
        ([made("canary", "2", "1"), made("rolled_back", "2", "1")], "1", "steady", None),
        ([made("canary", "2", "1"), made("promoted", "2", "1")], "2", "probation", "1"),
        ([made("promoted", "2", "1"), made("confirmed", "2", "1")], "2", "steady", None),
        ([made("promoted", "2", "1"), made("rolled_back", "2", "1")], "1", "steady", None),
        # A promotion by hand is in no log: it ends whatever another model was in.
        ([made("shadow", "2", "1")], "3", "steady", None),
        ([made("promoted", "2", "1")], "3", "steady", None),
    ],
)
def test_the_state_is_read_from_the_log(
    log: list[Decision], champion: str, stage: str, challenger: str | None
) -> None:
    state = State.of(log, champion)
    assert (state.stage, state.champion, state.challenger) == (stage, champion, challenger)


def test_low_quality_or_drift_asks_for_a_retraining() -> None:
    steady = State("steady", "1")
    assert policy.decide(steady, evidence(quality=FINE), PARAMS) is None
    found = policy.decide(steady, evidence(quality=LOW), PARAMS)
    assert found is not None
    assert (found.step, found.reason, found.value, found.limit) == (
        "retrain", "low_accuracy", 0.5, 0.6,
    )  # fmt: skip
    assert found.facts == Facts(PARAMS.monitor.windows)
    few = replace(LOW, windows=PARAMS.monitor.windows - 1)
    assert policy.decide(steady, evidence(quality=few), PARAMS) is None
    moved = policy.decide(steady, evidence(quality=FINE, drift=DRIFT), PARAMS)
    assert moved is not None
    assert (moved.reason, moved.value, moved.limit) == ("drift", 3.0, 1.0)
    assert moved.facts == Facts(PARAMS.monitor.drift_patience, input="skip_rate", seen_at=NOW)


def test_retrainings_keep_their_distance() -> None:
    log = [replace(made("retrain", "1", None), window_start=NOW - timedelta(hours=10))]
    state = State.of(log, "1")
    assert policy.decide(state, evidence(quality=LOW), PARAMS) is None
    later = replace(
        evidence(quality=LOW),
        window_start=NOW + PARAMS.monitor.retrain_cooldown * PARAMS.windows.window,
    )
    assert policy.decide(state, later, PARAMS) is not None


@pytest.mark.parametrize(
    ("stage", "difference", "step", "reason"),
    [
        ("shadow", 0.05, "canary", "worth_a_canary"),
        ("shadow", -0.01, "canary", "worth_a_canary"),  # within what may be lost
        ("shadow", -0.05, "refused", "worse"),
        ("canary", 0.05, "promoted", "worth_promoting"),
        ("canary", -0.05, "rolled_back", "worse"),
        ("probation", 0.05, "confirmed", "not_surely_worse"),
        ("probation", -0.005, "confirmed", "not_surely_worse"),
        ("probation", -0.05, "rolled_back", "surely_worse"),
    ],
)
def test_each_stage_ends_by_its_comparison(
    stage: str, difference: float, step: str, reason: str
) -> None:
    challenger, champion = ("2", "1") if stage != "probation" else ("1", "2")
    state = State(stage, champion, challenger, NOW - timedelta(days=3))  # type: ignore[arg-type]
    needed = PARAMS.value(f"{stage}_windows")
    compared = Comparison(needed, difference, difference - 0.01, difference + 0.01)
    early = replace(compared, windows=needed - 1)
    assert policy.decide(state, evidence(comparison=early), PARAMS) is None
    found = policy.decide(state, evidence(comparison=compared), PARAMS)
    assert found is not None
    assert (found.step, found.model, found.other, found.reason) == (step, "2", "1", reason)
    share = PARAMS.promotion.canary_share if step == "canary" else None
    assert found.value == difference
    assert found.facts == Facts(needed, difference - 0.01, difference + 0.01, share=share)


WORSE = Comparison(PARAMS.monitor.fallback_windows, 0.04, 0.01, 0.07)
"""Persistence does surely better."""


def test_a_champion_that_is_surely_worse_than_persistence_gives_way_to_it() -> None:
    steady = State("steady", "1", last_retrain=NOW)
    found = policy.decide(steady, evidence(quality=LOW, fallback=WORSE, baseline="9"), PARAMS)
    assert found is not None
    assert (found.step, found.model, found.other, found.reason, found.value) == (
        "promoted", "9", "1", "worse_than_persistence", 0.04,
    )  # fmt: skip
    assert found.facts == Facts(WORSE.windows, 0.01, 0.07)
    # And so it is on probation, with the champion to go back to.
    assert State.of([found], "9") == State("probation", "9", "1", found.effective_from)


@pytest.mark.parametrize(
    "seen", [replace(WORSE, low=-0.001), replace(WORSE, windows=WORSE.windows - 1), None]
)
def test_one_that_may_be_as_good_stays(seen: Comparison | None) -> None:
    steady = State("steady", "1")
    assert policy.decide(steady, evidence(fallback=seen, baseline="9"), PARAMS) is None
    asked = policy.decide(steady, evidence(quality=LOW, fallback=seen, baseline="9"), PARAMS)
    assert asked is not None
    assert asked.reason == "low_accuracy"


def test_while_persistence_serves_a_model_is_sought_that_beats_it() -> None:
    serving = State("steady", "9")
    asked = policy.decide(serving, evidence(baseline="9"), PARAMS)
    assert asked is not None
    assert (asked.step, asked.model, asked.reason) == ("retrain", "9", "persistence_serves")
    assert policy.decide(replace(serving, last_retrain=NOW), evidence(baseline="9"), PARAMS) is None
    shadow = State("shadow", "9", "10", NOW)
    compared = Comparison(PARAMS.promotion.shadow_windows, -0.01, -0.02, 0.01)
    refused = policy.decide(shadow, evidence(comparison=compared, baseline="9"), PARAMS)
    assert refused is not None  # within what a champion may lose
    assert (refused.step, refused.limit) == ("refused", 0.0)
    better = replace(compared, difference=0.01)
    passed = policy.decide(shadow, evidence(comparison=better, baseline="9"), PARAMS)
    assert passed is not None
    assert passed.step == "canary"


def test_a_decision_is_a_row_of_codes_and_numbers() -> None:
    failed = Check("macro_f1", False, 0.55, 0.51, 0.49, 0.53, 900)
    found = replace(made("refused", "2", "1"), facts=Facts(24, -0.1, checks=(failed,)))
    row = found.row(NOW)
    assert set(row) == {field.name for field in tables.DECISIONS.schema}
    assert row["decided_at"] == NOW
    assert msgspec.json.decode(row["facts"], type=Facts) == found.facts
    assert "null" not in found.row(NOW)["facts"].partition("checks")[0]
    assert made("retrain", "1", None).row(NOW)["facts"] == "{}"
