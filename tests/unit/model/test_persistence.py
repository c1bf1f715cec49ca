"""Persistence as a model: what it says, and when it is of other params."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import tiny_model
from spotify_mlops.config.params import Params
from spotify_mlops.domain.features import Inputs
from spotify_mlops.domain.features.names import POPULARITY_FEATURES
from spotify_mlops.domain.schemas import PROBABILITIES
from spotify_mlops.model import baselines, bundle, dataset, persistence
from spotify_mlops.model.predictor import Predictor
from spotify_mlops.presentation.es import card

PARAMS = tiny_model.settings()


def known() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return features and labels."""
    return tiny_model.data()


def shown() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the same as if the Web API had shown most of it."""
    rows, truth = known()
    hidden = pl.int_range(pl.len()) % 7 == 0
    popularity, is_known = POPULARITY_FEATURES
    return rows.with_columns(
        pl.when(hidden).then(0.0).otherwise("country_rank").alias(popularity),
        (~hidden).cast(pl.Int8).alias(is_known),
    ), truth


@pytest.mark.parametrize("target", ["plays", "api"])
def test_each_row_keeps_its_level(tmp_path: Path, target: str) -> None:
    settings = PARAMS if target == "plays" else PARAMS.replace(target="api")
    rows, truth = known() if target == "plays" else shown()
    made = persistence.write_bundle(
        settings, rows, truth, card.write_persistence, tmp_path / "bundle"
    )
    joined = dataset.join(rows, truth, settings.model)
    said = Predictor.load(made).predict(joined)
    assert said["level"].to_list() == joined["current_level"].to_list()
    _, likely = baselines.persistence(joined, joined)
    difference = said.select(PROBABILITIES).to_numpy() - likely
    assert abs(difference).max() <= 5e-7
    own = [row for row in made.description["metrics"] if row["metric"] == "accuracy"]
    assert own[0]["value"] == (joined["level"] == joined["current_level"]).mean()
    made.check_inputs(settings.windows)
    assert set(made.features) <= set(Inputs.of(settings.windows).names())
    assert made.training_end > joined["label_window"].max()  # type: ignore[operator]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> bundle.Bundle:
    folder = tmp_path_factory.mktemp("persistence") / "bundle"
    return persistence.write_bundle(PARAMS, *known(), card.write_persistence, folder)


@pytest.mark.parametrize(
    ("settings", "same"),
    [
        (PARAMS, True),
        (PARAMS.replace(model_iterations=70), True),
        (PARAMS.replace(horizon=3), False),
        (PARAMS.replace(level_alta=80.0), False),
        (PARAMS.replace(target="api"), False),
    ],
)
def test_it_is_of_its_task(made: bundle.Bundle, settings: Params, same: bool) -> None:
    assert persistence.is_of(made, settings) is same


def test_a_trained_model_is_none(tmp_path: Path) -> None:
    trained = tiny_model.result().write_bundle(tmp_path / "trained")
    assert not persistence.is_of(trained, PARAMS)


def test_the_card_says_what_it_is_for(made: bundle.Bundle) -> None:
    text = made.card()
    assert text.startswith("# Modelo «popularity»: persistencia")
    assert "Para qué no." in text
