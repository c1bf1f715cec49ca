"""What of the past a model learns from: which rows, with what weight, and which does best."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny_model
from spotify_mlops.domain.labels import LEVELS
from spotify_mlops.model import dataset, histories
from spotify_mlops.model.candidates import Classifier
from spotify_mlops.model.learner import Hyperparameters, fit_member
from spotify_mlops.model.predictor import Predictor
from spotify_mlops.model.training import train
from spotify_mlops.presentation.es import card

START = datetime(2026, 1, 1, tzinfo=UTC)


def world(hours: int, change: int, rows: int = 60) -> pl.DataFrame:
    """Return rows whose level follows ``x``, and from an hour on its opposite."""
    random = np.random.default_rng(5)
    hour = np.repeat(np.arange(hours), rows)
    x = random.uniform(0, 3, len(hour))
    turned = np.where(hour < change, x, 3 - x)
    return pl.DataFrame(
        {
            "window_start": [START + timedelta(hours=int(h)) for h in hour],
            "x": x,
            "level": [LEVELS[min(int(v), 2)] for v in turned],
        }
    )


def ranges(rows: pl.DataFrame, boundary: int) -> dataset.Split:
    """Split rows at an hour; there is no test range."""
    start = START + timedelta(hours=boundary)
    before = rows.filter(pl.col("window_start") < start)
    after = rows.filter(pl.col("window_start") >= start)
    return dataset.Split(before, after, rows, after, start, start, start)


@given(st.integers(2, 400), st.integers(0, 400))
def test_the_parts_are_the_last_of_the_time(hours: int, late: int) -> None:
    known = [START + timedelta(hours=h) for h in range(hours)]
    rows = pl.DataFrame({"window_start": known + [known[-1]] * late})
    half, quarter = (histories.last(rows, share)["window_start"] for share in (0.5, 0.25))
    assert half.max() == quarter.max() == known[-1]
    assert set(quarter) <= set(half) < set(known)
    assert abs(half.n_unique() - hours / 2) <= 1
    assert abs(quarter.n_unique() - hours / 4) <= 1
    assert histories.last(rows, 1).equals(rows)


def test_fading_rows_weigh_half_after_a_quarter_of_the_time() -> None:
    rows = world(101, 200, rows=3)
    known = histories.learned(rows, "fading", ["x"], 10_000, 7)
    assert known.weights is not None and known.weights.mean() == pytest.approx(1)
    weights = known.weights[::3]
    assert weights[50] / weights[25] == pytest.approx(2)
    assert weights[100] / weights[75] == pytest.approx(2)
    assert histories.learned(rows, "all", ["x"], 10_000, 7).weights is None


SETTINGS = Hyperparameters(max_leaf_nodes=4, min_samples_leaf=20, max_features=1.0, max_iter=20)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (35, 0),  # the old regime is in all the others
        (1000, -1),  # there is one regime: more rows are better
    ],
)
def test_what_does_best_on_the_newest_windows_is_chosen(change: int, place: int) -> None:
    rows = world(60, change, rows=12)
    found = histories.choose(
        ["all", "half", "quarter", "fading"], ranges(rows, 44), ["x"], SETTINGS, 10_000, 7
    )
    assert [t.loss for t in found] == sorted(t.loss for t in found)
    assert {t.history for t in found} == {"all", "half", "quarter", "fading"}
    assert found[place].history == "quarter"
    if change < 44:
        everything = next(t for t in found if t.history == "all")
        assert found[0].macro_f1 > everything.macro_f1 + 0.2


def test_the_end_of_validation_decides_not_its_beginning() -> None:
    rows = world(60, 52, rows=12)  # the change is within the validation range
    split = ranges(rows, 44)
    newest = histories.last(split.validation, histories.NEWEST)["window_start"]
    assert newest.min() > START + timedelta(hours=52)
    assert newest.max() == rows["window_start"].max()


def test_a_history_that_lacks_a_level_is_not_tried() -> None:
    rows = world(60, 1000, rows=12)
    early = pl.col("window_start") < START + timedelta(hours=30)
    split = ranges(rows.filter(early | (pl.col("level") != LEVELS[0])), 44)
    found = histories.choose(["all", "quarter"], split, ["x"], SETTINGS, 10_000, 7)
    assert [t.history for t in found] == ["all"]


@pytest.mark.parametrize("estimator", ["LogisticRegression", "DecisionTreeClassifier"])
def test_weights_reach_every_classifier(estimator: str) -> None:
    x = np.array([[0.0], [1.0], [2.0], [2.0]])
    y = np.array([0, 1, 2, 0])
    for heavier in (2, 3):
        weights = np.where(np.arange(4) == heavier, 50.0, 0.1)
        member = fit_member(Classifier(estimator, {}).member(1), x, y, weights)
        assert member.predict([[2.0]])[0] == y[heavier]


def test_a_training_that_tries_several_says_what_each_gave(tmp_path: Path) -> None:
    settings = tiny_model.settings().replace(model_histories=["all", "half", "fading"])
    result = train(settings, *tiny_model.data(), card.write)
    tried = result.description["training"]["histories"]
    assert {each["history"] for each in tried} == {"all", "half", "fading"}
    assert [each["log_loss"] for each in tried] == sorted(each["log_loss"] for each in tried)
    assert "su pérdida en lo más nuevo de validación es la menor; las demás: de" in result.card
    again = train(settings, *tiny_model.data(), card.write)
    assert again.graph == result.graph
    Predictor.load(result.write_bundle(tmp_path / "bundle").path)
    assert tiny_model.result().description["training"]["histories"] == []


def test_the_rows_that_are_told_are_those_of_the_history() -> None:
    settings = tiny_model.settings().replace(model_histories=["quarter"])
    result = train(settings, *tiny_model.data(), card.write)
    rows = result.description["training"]["rows_learned_from"]
    assert 0 < rows < int(result.boundaries["development_rows"]) / 2
