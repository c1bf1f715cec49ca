"""Drift: rare in a market at rest, found at once when something breaks."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from spotify_mlops.config import params
from spotify_mlops.config.params import Params
from spotify_mlops.domain import features, labels
from spotify_mlops.domain.windows import Windowing
from spotify_mlops.model import dataset
from spotify_mlops.operations.monitor import drift
from spotify_mlops.sources.simulator import Simulator
from thorough import FACTOR

SEEDS = 20 if FACTOR > 1 else 2
TRAINING = 14 * 24
WINDOWS = 500
"""Watched after the training: the long form (``THOROUGH=2``) has 20 seeds of 500 windows."""


def market(seed: int) -> tuple[Params, pl.DataFrame]:
    """Return the features of a market at rest, with a prediction for each row."""
    settings = params.load(
        "local",
        simulator_seed=seed,
        simulator_days=(TRAINING + WINDOWS + 24) // 24,
        simulator_events=100_000,
        simulator_tracks=150,
        duplicate_share=0,
        late_share=0,
        malformed_share=0,
    )
    events = pl.concat(list(Simulator(settings).history()))
    rows = features.reference(
        events, Windowing.of(settings.windows), features.Inputs.of(settings.windows)
    )
    levels = dataset.thresholds(settings.model)
    return settings, rows.with_columns(predicted=labels.level_of("play_score", levels))


def fitted(settings: Params, rows: pl.DataFrame) -> tuple[drift.Reference, pl.DataFrame]:
    """Return what is usual in the training windows, and the rows after them."""
    cut = rows["window_start"].min() + TRAINING * settings.windows.window
    known = rows.filter(pl.col("window_start") < cut)
    names = dataset.inputs("dynamics", settings.windows, known)
    span, margin = settings.monitor.drift_windows, settings.monitor.drift_margin
    reference = drift.Reference.fit(known, names, span, margin)
    return reference, rows.filter(pl.col("window_start") >= cut)


@pytest.fixture(scope="module")
def at_rest() -> tuple[Params, drift.Reference, pl.DataFrame]:
    settings, rows = market(0)
    return settings, *fitted(settings, rows)


def test_a_market_at_rest_hardly_ever_raises_a_persisting_alarm() -> None:
    """The upper 95 % bound of the rate per window is at most 1 %, over seeds (Student's t)."""
    rates = []
    for seed in range(SEEDS):
        settings, rows = market(seed)
        reference, later = fitted(settings, rows)
        alarms = reference.alarms(later)[:WINDOWS]
        patience = settings.monitor.drift_patience
        persisting = [
            drift.persisting(alarms[: i + 1], patience) is not None for i in range(len(alarms))
        ]
        rates.append(float(np.mean(persisting)))
    if SEEDS >= 20:
        half = 1.729 * np.std(rates, ddof=1) / np.sqrt(len(rates))  # one-sided, 19 degrees
        assert np.mean(rates) + half <= 0.01, rates
    else:
        assert np.mean(rates) <= 0.01, rates


@pytest.mark.parametrize("broken", ["log_searches", "skip_rate", "log_plays"])
def test_an_input_that_breaks_is_found_and_named(
    at_rest: tuple[Params, drift.Reference, pl.DataFrame], broken: str
) -> None:
    settings, reference, later = at_rest
    day = later["window_start"].min() + timedelta(days=3)
    spoilt = later.with_columns(
        pl.when(pl.col("window_start") >= day).then(0.0).otherwise(broken).alias(broken)
    ).filter(pl.col("window_start") < day + timedelta(days=2))
    alarms = reference.alarms(spoilt)
    before = [alarm for alarm in alarms if alarm.window_start < day]
    assert not any(alarm.raised for alarm in before)
    found = drift.persisting(alarms, settings.monitor.drift_patience)
    assert found is not None
    assert found.input == broken


def test_predictions_that_change_are_found_too(
    at_rest: tuple[Params, drift.Reference, pl.DataFrame],
) -> None:
    settings, reference, later = at_rest
    alarms = reference.alarms(later.head(20_000).with_columns(predicted=pl.lit("Alta")))
    found = drift.persisting(alarms, settings.monitor.drift_patience)
    assert found is not None
    assert found.input == drift.PREDICTED


def test_too_little_history_is_an_error(
    at_rest: tuple[Params, drift.Reference, pl.DataFrame],
) -> None:
    settings, reference, later = at_rest
    few = later.filter(pl.col("window_start") < later["window_start"].min() + timedelta(days=3))
    with pytest.raises(ValueError, match="four spans"):
        drift.Reference.fit(few, reference.names, settings.monitor.drift_windows, 1.0)
    assert reference.alarms(few.head(0)) == []


def test_alarms_must_persist() -> None:
    start = params.load("local").simulator.start
    raised, quiet = (drift.Alarm(start, value, "x") for value in (2.0, 0.5))  # type: ignore[arg-type]
    assert drift.persisting([raised] * 3, 3) == raised
    assert drift.persisting([raised] * 2, 3) is None
    assert drift.persisting([raised, quiet, raised], 3) is None
