"""Labels: the level later, absent is Baja, and none before its window is closed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from spotify_mlops.config import params
from spotify_mlops.domain.labels import label, level_of
from spotify_mlops.domain.schemas import LABEL_SCHEMA
from spotify_mlops.domain.windows import Windowing
from spotify_mlops.io.bigquery import tables

START = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = Windowing(timedelta(hours=1))
THRESHOLDS = (70.0, 40.0)


def at(hour: int) -> datetime:
    return START + timedelta(hours=hour)


def rows_of(*rows: tuple[int, str, str, float | None]) -> pl.DataFrame:
    schema = {"window_start": pl.Datetime("us", "UTC"), "country": pl.String,
              "track_id": pl.String, "play_score": pl.Float64}  # fmt: skip
    return pl.DataFrame([(at(hour), *rest) for hour, *rest in rows], schema=schema, orient="row")


@pytest.mark.parametrize(
    ("score", "level"),
    [(100.0, "Alta"), (70.0, "Alta"), (69.999, "Media"), (40.0, "Media"), (39.9, "Baja"),
     (None, "Baja")],
)  # fmt: skip
def test_levels(score: float | None, level: str) -> None:
    frame = pl.DataFrame({"s": pl.Series([score], dtype=pl.Float64)})
    assert frame.select(level_of("s", THRESHOLDS)).item() == level


def test_label_is_the_level_at_the_horizon_in_the_same_country() -> None:
    rows = rows_of(
        (0, "CO", "t1", 10.0), (0, "ES", "t1", 20.0), (2, "CO", "t1", 90.0), (2, "ES", "t1", 50.0)
    )
    result = label(rows, 2, HOUR, at(3), THRESHOLDS)
    assert dict(result.schema) == LABEL_SCHEMA
    assert list(LABEL_SCHEMA) == [
        field.name for field in tables.labels(params.load("local")).schema
    ]
    assert result.select("country", "level", "label_score").rows() == [
        ("CO", "Alta", 90.0),
        ("ES", "Media", 50.0),
    ]
    assert result["label_window"].to_list() == [at(2)] * 2


def test_absent_and_unplayed_are_baja() -> None:
    rows = rows_of((0, "CO", "gone", 90.0), (0, "CO", "silent", 90.0), (1, "CO", "silent", None))
    assert label(rows, 1, HOUR, at(2), THRESHOLDS)["level"].to_list() == ["Baja", "Baja"]


def test_no_label_before_its_window_is_closed() -> None:
    rows = rows_of((0, "CO", "t1", 90.0), (1, "CO", "t1", 90.0), (2, "CO", "t1", 90.0))
    just_before = at(2) - timedelta(microseconds=1)
    assert label(rows, 1, HOUR, just_before, THRESHOLDS).is_empty()
    assert label(rows, 1, HOUR, at(2), THRESHOLDS)["window_start"].to_list() == [at(0)]
    assert label(rows, 1, HOUR, at(3), THRESHOLDS)["window_start"].to_list() == [at(0), at(1)]


def test_of_the_apis_popularity_there_are_labels_only_where_it_is_known() -> None:
    known = {"up": [10.0, 71.0], "down": [90.0, 0.0], "silent": [90.0, None], "gone": [90.0]}
    rows = pl.DataFrame(
        [
            (at(hour), "CO", track, 100.0, value or 0.0, float(value is not None))
            for track, values in known.items()
            for hour, value in enumerate(values)
        ],
        {
            "window_start": pl.Datetime("us", "UTC"), "country": pl.String, "track_id": pl.String,
            "play_score": pl.Float64, "api_popularity": pl.Float64, "api_known": pl.Float64,
        },
        orient="row",
    )  # fmt: skip
    found = label(rows, 1, HOUR, at(2), THRESHOLDS)
    assert found.select("track_id", "level", "label_score").rows() == [
        ("down", "Baja", 0.0),
        ("up", "Alta", 71.0),
    ]


def test_the_view_reads_the_score_of_the_target() -> None:
    plays, api = (tables.labels(params.load("local", target=t)).sql for t in ("plays", "api"))
    assert plays is not None and api is not None
    assert "play_score" in plays and "api_known" not in plays
    assert "play_score" not in api and "api_known = 1" in api
