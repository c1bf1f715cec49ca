"""Who serves from which window on, and what is kept of them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

import tiny_model
from spotify_mlops.config.errors import InputError, IntegrityError
from spotify_mlops.model.predictor import Predictor
from spotify_mlops.model.promotions import Canary, PromotionHistory, ServingPeriod
from spotify_mlops.pipeline.predict import Champions, in_canary

START = tiny_model.START
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return three bundles that differ."""
    return tiny_model.bundles(tmp_path_factory.mktemp("bundles"), 3)


@pytest.fixture
def promotions(bundles: list[Path], tmp_path: Path) -> PromotionHistory:
    """Return a history that keeps versions 1, 2 and 11, and has no champion."""
    promotions = PromotionHistory(tiny_model.settings(), tmp_path)
    for version, path in zip(("1", "2", "11"), bundles, strict=True):
        promotions.keep(version, path)
    return promotions


def test_a_later_promotion_takes_the_place_of_what_was_said_about_its_windows(
    promotions: PromotionHistory,
) -> None:
    assert (promotions.versions(), promotions.champion(), promotions.periods()) == (
        ["1", "2", "11"],
        None,
        [],
    )
    stamps = [promotions.stamp()]
    for version, start in (("1", START), ("11", START + 2 * DAY), ("2", START + DAY)):
        promotions.promote(version, start)
        stamps.append(promotions.stamp())
    assert promotions.periods() == [ServingPeriod(START, "1"), ServingPeriod(START + DAY, "2")]
    promotions.promote("11", START + DAY)
    assert promotions.periods() == [ServingPeriod(START, "1"), ServingPeriod(START + DAY, "11")]
    assert promotions.champion() == "11"
    assert Predictor.load(promotions.bundle("11")).name == "popularity@11"
    assert stamps == sorted(set(stamps))
    with pytest.raises(ValueError, match="time zone"):
        promotions.promote("1", START.replace(tzinfo=None))


def test_only_what_is_kept_can_serve(promotions: PromotionHistory) -> None:
    with pytest.raises(InputError, match=r"No hay versión 99 .*1, 2, 11"):
        promotions.promote("99", START)
    with pytest.raises(InputError, match="No hay versión 98"):
        promotions.promote("1", START, Canary("98", 0.1))
    assert promotions.periods() == []


def test_a_kept_version_never_changes(promotions: PromotionHistory, bundles: list[Path]) -> None:
    promotions.keep("1", bundles[0])
    with pytest.raises(IntegrityError, match="otro contenido"):
        promotions.keep("1", bundles[1])
    assert promotions.versions() == ["1", "2", "11"]


def test_a_spoilt_bundle_is_not_kept(bundles: list[Path], tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt"
    spoilt.mkdir()
    for file in bundles[0].iterdir():
        (spoilt / file.name).write_bytes(file.read_bytes() + b" ")
    promotions = PromotionHistory(tiny_model.settings(), tmp_path)
    with pytest.raises(IntegrityError):
        promotions.keep("1", spoilt)
    assert promotions.versions() == []


def test_a_canary_predicts_its_share_of_the_tracks_always_the_same(
    promotions: PromotionHistory, tmp_path: Path
) -> None:
    params = tiny_model.settings().replace(archive=str(tmp_path))
    features = tiny_model.data()[0]
    half = START + timedelta(hours=36)
    promotions.promote("1", START)
    promotions.promote("1", half, Canary("2", 0.25))
    predicted = Champions(params).predict(features)
    assert predicted.height == features.height
    models = {
        name: set(part["model"])
        for name, part in (
            ("before", predicted.filter(pl.col("window_start") < half)),
            ("after", predicted.filter(pl.col("window_start") >= half)),
        )
    }
    assert models == {"before": {"popularity@1"}, "after": {"popularity@1", "popularity@2"}}
    after = predicted.filter(pl.col("window_start") >= half)
    mine = in_canary(after, 0.25)
    assert set(after.filter(mine)["model"]) == {"popularity@2"}
    assert set(after.filter(~mine)["model"]) == {"popularity@1"}
    # Every track is on one side in all its windows.
    assert after.group_by("country", "track_id").agg(pl.col("model").n_unique())["model"].max() == 1


def test_a_champion_of_other_countries_predicts_nothing(
    promotions: PromotionHistory, tmp_path: Path
) -> None:
    params = tiny_model.settings().replace(archive=str(tmp_path), countries=["CO", "ES"])
    promotions.promote("1", START)
    with pytest.raises(InputError, match=r"usa sus «model_countries»"):
        Champions(params).predict(tiny_model.data()[0])


def test_the_share_of_a_canary_is_what_was_asked() -> None:
    rows = pl.DataFrame({"track_id": [f"t{i}" for i in range(20_000)]}).with_columns(
        country=pl.lit("CO")
    )
    assert in_canary(rows, 0.1).mean() == pytest.approx(0.1, abs=0.01)
    # A larger share holds the tracks of a smaller one.
    assert (in_canary(rows, 0.1) & ~in_canary(rows, 0.2)).sum() == 0
    assert in_canary(rows, 0.0).sum() == 0
    assert in_canary(rows, 1.0).all()
