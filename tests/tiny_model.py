"""A small world with persistent popularity, and a model trained on it once for all tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from spotify_mlops.config import params
from spotify_mlops.config.params import Params
from spotify_mlops.domain import features, labels
from spotify_mlops.domain.windows import Windowing
from spotify_mlops.model import bundle
from spotify_mlops.model.gate import Check, Criterion, Verdict
from spotify_mlops.model.training import train
from spotify_mlops.model.training_result import TrainingResult
from spotify_mlops.presentation.es import card

START = datetime(2026, 1, 5, tzinfo=UTC)
WINDOWS = 72


@cache
def settings() -> Params:
    """Return params for hourly windows and two hours ahead."""
    return params.load(
        "local",
        lags=[1, 2],
        horizon=2,
        test_share=0.25,
        bootstrap_repetitions=50,
        bootstrap_block=timedelta(hours=3),
    )


@cache
def events() -> pl.DataFrame:
    """Return the events of 24 tracks in three countries."""
    random = np.random.default_rng(3)
    rows = []
    for country in ("CO", "ES", "US"):
        strength = random.normal(3, 1.2, 24)
        for window in range(WINDOWS):
            strength += random.normal(0, 0.12, 24)
            plays = random.poisson(np.exp(strength))
            searches = random.poisson(2, 24)
            rows += [
                (START + timedelta(hours=window), country, f"t{i}", kind, int(count))
                for i in range(24)
                for kind, count in (("play", plays[i]), ("search_result", searches[i]))
                if count
            ]
    return pl.DataFrame(
        rows,
        schema={"event_time": pl.Datetime("us", "UTC"), "country": pl.String,
                "track_id": pl.String, "event_type": pl.String, "count": pl.Int64},
        orient="row",
    ).with_columns(
        track_name="track_id",
        artist_name=pl.lit(None, pl.String),
        release_date=pl.lit(None, pl.Date),
        popularity=pl.lit(None, pl.Int16),
    )  # fmt: skip


@cache
def data() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the features and labels of those events."""
    windowing = Windowing.of(settings().windows)
    built = features.reference(events(), windowing, features.Inputs.of(settings().windows))
    end = START + timedelta(hours=WINDOWS)
    return built, labels.label(built, settings().model.horizon, windowing, end, (70, 40))


def bundles(folder: Path, number: int) -> list[Path]:
    """Write bundles that differ in their description alone, and return their folders."""
    return [
        bundle.write(folder / f"b{i}", result().graph, "card", result().description | {"i": i}).path
        for i in range(number)
    ]


@cache
def result() -> TrainingResult:
    """Return the training run on that data."""
    return train(settings(), *data(), card.write)


def verdict(*passed: bool) -> Verdict:
    """Return a verdict whose checks of accuracy, macro-F1 and calibration came out like this."""
    codes: tuple[Criterion, ...] = ("accuracy", "macro_f1", "calibration")
    found = zip(codes, passed, strict=False)
    return Verdict(tuple(Check(code, ok, 0.5, 0.4) for code, ok in found))
