"""The split in time: no range knows what happens in a later one."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

import tiny_model
from spotify_mlops.config.errors import ParamsError
from spotify_mlops.config.params import Params
from spotify_mlops.model import dataset, training
from spotify_mlops.presentation.es import card

HOUR = timedelta(hours=1)


def rows() -> pl.DataFrame:
    return dataset.join(*tiny_model.data(), tiny_model.settings().model)


def with_changes(**changes: object) -> Params:
    return tiny_model.settings().replace(**changes)


@pytest.mark.parametrize("test_start", [None, date(2026, 1, 7)])
def test_no_label_reaches_into_the_next_range(test_start: date | None) -> None:
    ranges = dataset.split(rows(), with_changes(test_start=test_start))
    if test_start:
        assert ranges.test_start.date() == test_start
    assert ranges.validation_start < ranges.test_start
    assert (ranges.train["label_window"] + HOUR).max() <= ranges.validation_start
    assert (ranges.validation["label_window"] + HOUR).max() <= ranges.test_start
    assert (ranges.development["label_window"] + HOUR).max() == ranges.training_end
    assert ranges.training_end <= ranges.test_start <= ranges.test["window_start"].min()
    gap = ranges.test["window_start"].min() - ranges.development["window_start"].max()
    assert gap > tiny_model.settings().model.horizon * HOUR


def test_nothing_is_learned_from_the_web_api_unless_the_params_allow_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def query(settings: Params, sql: str, **given: object) -> pl.DataFrame:
        asked.append(sql)
        return pl.DataFrame({"found": [held]})

    monkeypatch.setattr(dataset.bigquery, "query", query)
    held = 0
    dataset.check_content(with_changes())
    held = 1  # rows
    with pytest.raises(ParamsError, match=r"el dataset spotify_local tiene.*III\.14"):
        dataset.check_content(with_changes())
    asked.clear()
    dataset.check_content(with_changes(webapi_training_allowed=True))
    refused = with_changes(source="webapi")
    with pytest.raises(ParamsError, match="webapi_training_allowed=true"):
        dataset.read(refused)
    with pytest.raises(ParamsError, match="webapi_training_allowed=true"):
        training.train(refused, *tiny_model.data(), card.write)
    assert asked == []


def test_labels_are_those_of_the_horizon() -> None:
    features, labels = tiny_model.data()
    other = labels.with_columns(horizon=pl.lit(9, pl.Int64), level=pl.lit("Baja"))
    joined = dataset.join(features, pl.concat([labels, other]), tiny_model.settings().model)
    assert joined.height == labels.height
    assert joined.equals(rows())


@pytest.mark.parametrize("test_start", [date(2025, 1, 1), date(2027, 1, 1)])
def test_an_empty_range_is_said(test_start: date) -> None:
    with pytest.raises(ParamsError, match="rango de"):
        dataset.split(rows(), with_changes(test_start=test_start))
    with pytest.raises(ParamsError, match="No hay filas con etiqueta"):
        dataset.split(rows().clear(), tiny_model.settings())


def test_seasonal_inputs_need_a_whole_cycle() -> None:
    names = dataset.inputs("dynamics", tiny_model.settings().windows, rows())
    assert not {"year_sin", "year_cos", "day_of_week"} & set(names)
    assert names[:6] == dataset.inputs("seed", tiny_model.settings().windows, rows())
    year = pl.concat([rows(), rows().with_columns(pl.col("window_start") + timedelta(days=400))])
    assert "year_sin" in dataset.inputs("dynamics", tiny_model.settings().windows, year)


def test_the_digest_follows_the_content_and_not_the_order() -> None:
    names = ["hour_of_day", "momentum"]
    frame = rows()
    assert dataset.digest(frame[::-1], names) == dataset.digest(frame, names)
    changed = frame.with_columns(pl.col("momentum") + (pl.int_range(pl.len()) == 5))
    assert dataset.digest(changed, names) != dataset.digest(frame, names)


def test_samples_are_repeatable_and_in_order() -> None:
    part = dataset.sample(rows(), 100, 7)
    assert part.height == 100 and part.equals(dataset.sample(rows(), 100, 7))
    assert part.equals(part.sort("window_start", "country", "track_id"))
    assert dataset.sample(part, 100, 7) is part
