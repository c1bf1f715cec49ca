"""Who serves from which window on, and what is kept of them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

import tiny_model
from spotify_mlops.config.errors import InputError, IntegrityError
from spotify_mlops.model.predictor import Predictor
from spotify_mlops.model.promotions import Canary, Schedule, Term
from spotify_mlops.pipeline.predict import Champions, in_canary

START = tiny_model.START
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return three bundles that differ."""
    return tiny_model.bundles(tmp_path_factory.mktemp("bundles"), 3)


@pytest.fixture
def schedule(bundles: list[Path], tmp_path: Path) -> Schedule:
    """Return a schedule that keeps versions 1, 2 and 11, and has no champion."""
    schedule = Schedule(tiny_model.settings(), tmp_path)
    for version, path in zip(("1", "2", "11"), bundles, strict=True):
        schedule.keep(version, path)
    return schedule


def test_a_later_promotion_takes_the_place_of_what_was_said_about_its_windows(
    schedule: Schedule,
) -> None:
    assert (schedule.versions(), schedule.champion(), schedule.terms()) == (
        ["1", "2", "11"],
        None,
        [],
    )
    stamps = [schedule.stamp()]
    for version, start in (("1", START), ("11", START + 2 * DAY), ("2", START + DAY)):
        schedule.promote(version, start)
        stamps.append(schedule.stamp())
    assert schedule.terms() == [Term(START, "1"), Term(START + DAY, "2")]
    schedule.promote("11", START + DAY)
    assert schedule.terms() == [Term(START, "1"), Term(START + DAY, "11")]
    assert schedule.champion() == "11"
    assert Predictor.load(schedule.bundle("11")).name == "popularity@11"
    assert stamps == sorted(set(stamps))
    with pytest.raises(ValueError, match="time zone"):
        schedule.promote("1", START.replace(tzinfo=None))


def test_only_what_is_kept_can_serve(schedule: Schedule) -> None:
    with pytest.raises(InputError, match=r"No hay versión 99 .*1, 2, 11"):
        schedule.promote("99", START)
    with pytest.raises(InputError, match="No hay versión 98"):
        schedule.promote("1", START, Canary("98", 0.1))
    assert schedule.terms() == []


def test_a_kept_version_never_changes(schedule: Schedule, bundles: list[Path]) -> None:
    schedule.keep("1", bundles[0])
    with pytest.raises(IntegrityError, match="otro contenido"):
        schedule.keep("1", bundles[1])
    assert schedule.versions() == ["1", "2", "11"]


def test_a_spoilt_bundle_is_not_kept(bundles: list[Path], tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt"
    spoilt.mkdir()
    for file in bundles[0].iterdir():
        (spoilt / file.name).write_bytes(file.read_bytes() + b" ")
    schedule = Schedule(tiny_model.settings(), tmp_path)
    with pytest.raises(IntegrityError):
        schedule.keep("1", spoilt)
    assert schedule.versions() == []


def test_a_canary_predicts_its_share_of_the_tracks_always_the_same(
    schedule: Schedule, tmp_path: Path
) -> None:
    params = tiny_model.settings().model_copy(update={"archive": str(tmp_path)})
    features = tiny_model.data()[0]
    half = START + timedelta(hours=36)
    schedule.promote("1", START)
    schedule.promote("1", half, Canary("2", 0.25))
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


def test_the_share_of_a_canary_is_what_was_asked() -> None:
    rows = pl.DataFrame({"track_id": [f"t{i}" for i in range(20_000)]}).with_columns(
        country=pl.lit("CO")
    )
    assert in_canary(rows, 0.1).mean() == pytest.approx(0.1, abs=0.01)
    # A larger share holds the tracks of a smaller one.
    assert (in_canary(rows, 0.1) & ~in_canary(rows, 0.2)).sum() == 0
    assert in_canary(rows, 0.0).sum() == 0
    assert in_canary(rows, 1.0).all()
