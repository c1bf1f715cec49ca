"""Live scores: only what became known, only after the training, each window by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

import tiny_model
from spotify_mlops.domain.schemas import ROW_KEY
from spotify_mlops.io.bigquery import tables
from spotify_mlops.model import metrics
from spotify_mlops.model.predictor import Predictor
from spotify_mlops.operations.monitor import scores

START = tiny_model.START


def predicted(tmp_path) -> pl.DataFrame:
    predictor = Predictor.load(tiny_model.result().write_bundle(tmp_path / "1").path)
    features = tiny_model.data()[0]
    keys = features.select("window_start", "country", "track_id")
    return keys.hstack(predictor.predict(features)).with_columns(
        model=pl.lit("popularity@1"), horizon=pl.lit(2), written_at=pl.lit(START)
    )


def test_scores_are_those_of_the_rows_of_each_window(tmp_path) -> None:
    settings = tiny_model.settings()
    predictions, truth = predicted(tmp_path), tiny_model.data()[1]
    rows = scores.joined(predictions, truth)
    assert rows.height == truth.height  # the last windows have no labels yet
    trained = START + timedelta(hours=60)
    scored = scores.score(rows, {"popularity@1": trained}, settings)
    assert scored["window_start"].min() == trained
    for window in scored["window_start"].unique():
        part = rows.filter(pl.col("window_start") == window)
        found = dict(
            scored.filter(pl.col("window_start") == window, pl.col("slice") == "all")
            .select("metric", "value")
            .iter_rows()
        )
        assert found["accuracy"] == (part["level"] == part["predicted"]).mean()
        assert found["macro_f1"] == metrics.macro_f1(metrics.count(part, settings))[0]
        slices = scored.filter(pl.col("window_start") == window)["slice"].unique()
        age = (window - trained).days
        assert set(slices) == {"all", f"age:{age}", "country:CO", "country:ES", "country:US"}


def test_rows_fit_the_table_and_each_window_is_a_run(tmp_path) -> None:
    settings = tiny_model.settings()
    rows = scores.joined(predicted(tmp_path), tiny_model.data()[1])
    scored = scores.score(rows, {"popularity@1": START}, settings)
    written = scores.metric_rows(scored, settings, datetime.now(UTC))
    assert written.columns == [field.name for field in tables.MODEL_METRICS.schema]
    assert written.select(tables.MODEL_METRICS.key).is_unique().all()
    assert written["run_id"].min() == "live-20260105T000000"


def test_live_lists_are_counted_when_what_they_said_is_known(tmp_path) -> None:
    settings = tiny_model.settings()
    rows = scores.joined(predicted(tmp_path), tiny_model.data()[1])
    now = tiny_model.data()[0].select(*ROW_KEY, score_now="play_score")
    trained = START + timedelta(hours=60)
    found = scores.lists(rows, now, {"popularity@1": trained}, settings)
    assert found["window_start"].min() == trained
    known = rows.join(now, on=list(ROW_KEY)).filter(pl.col("window_start") >= trained)
    checked = 0
    for (window, country), part in known.group_by("window_start", "country"):
        waiting = part.filter(pl.col("score_now").fill_null(0) < settings.model.level_alta)
        told = {
            row["metric"]: (row["value"], row["rows"])
            for row in found.filter(window_start=window, slice=f"country:{country}").to_dicts()
        }
        rate = (waiting["level"] == "Alta").mean()
        assert told["rise_rate"] == (pytest.approx(rate), waiting.height)
        first = waiting.sort("p_alta", descending=True).head(10)
        last = first["p_alta"].min()
        if (waiting["p_alta"] >= last).sum() == first.height:  # nobody ties for the last place
            right = (first["level"] == "Alta").mean()
            assert told["rise_precision_at_10"] == (pytest.approx(right), first.height)
            checked += 1
        assert told["fall_rate"][1] == part.height - waiting.height
    assert checked > 10
    written = scores.metric_rows(found, settings, datetime.now(UTC))
    assert written.select(tables.MODEL_METRICS.key).is_unique().all()
