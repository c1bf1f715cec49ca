"""Scores against scikit-learn, and what the intervals, slices and costs mean."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

import tiny_model
from spotify_mlops.domain.labels import LEVELS
from spotify_mlops.io.bigquery.tables import MODEL_METRICS
from spotify_mlops.model import metrics

PARAMS = tiny_model.settings()
LABELS = list(LEVELS)


def frame_of(true: list[str], predicted: list[str], seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    p = random.dirichlet([1, 1, 1], len(true))
    start = [tiny_model.START.replace(hour=i % 24) for i in range(len(true))]
    return pl.DataFrame(
        {"window_start": start, "level": true, "predicted": predicted}
        | {name: p[:, i] for i, name in enumerate(metrics.PROBABILITIES)},
        schema_overrides={"window_start": pl.Datetime("us", "UTC")},
    )


levels = st.lists(
    st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=60
)


@given(levels)
@settings(max_examples=40, deadline=None)
def test_scores_equal_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    true, predicted = map(list, zip(*pairs, strict=True))
    frame = frame_of(true, predicted)
    table = metrics.score(frame, PARAMS)
    found = {(r["slice"], r["metric"]): r["value"] for r in table.to_dicts()}
    keywords = {"labels": LABELS, "zero_division": 0}
    assert found["all", "accuracy"] == pytest.approx(sk.accuracy_score(true, predicted))
    expected = sk.f1_score(true, predicted, average="macro", **keywords)
    assert found["all", "macro_f1"] == pytest.approx(expected)
    p = frame.select(metrics.PROBABILITIES).to_numpy()
    hit = p[np.arange(len(p)), [LABELS.index(level) for level in true]]
    assert found["all", "log_loss"] == pytest.approx(-np.log(hit).mean())
    for name, function in (("precision", sk.precision_score), ("recall", sk.recall_score)):
        for level, value in zip(
            LABELS, function(true, predicted, average=None, **keywords), strict=True
        ):
            assert found[f"level:{level}", name] == pytest.approx(value)
    counts = metrics.confusion(frame).select(LABELS).to_numpy()
    assert (counts == sk.confusion_matrix(true, predicted, labels=LABELS)).all()
    bad = table.filter(~(pl.col("low").is_between(0, pl.col("high"))))
    assert bad.is_empty()


def test_costs_of_each_error() -> None:
    costs = dict(zip(LABELS, metrics.cost_matrix(PARAMS.cost).tolist(), strict=True))
    assert costs == {"Alta": [0, 5, 5], "Media": [2, 0, 1], "Baja": [2, 1, 0]}
    frame = frame_of(["Alta", "Baja", "Media", "Media"], ["Media", "Alta", "Baja", "Media"])
    cost = metrics.score(frame, PARAMS).filter(metric="cost")["value"].item()
    assert cost == (5 + 2 + 1 + 0) / 4


def test_calibration_error_of_a_known_case() -> None:
    # Ten rows announced at 0.75, five right: the gap is 0.25.
    frame = frame_of(["Alta"] * 5 + ["Baja"] * 5, ["Alta"] * 10).with_columns(
        p_alta=pl.lit(0.75), p_media=pl.lit(0.2), p_baja=pl.lit(0.05)
    )
    found = metrics.score(frame, PARAMS).filter(metric="ece")["value"].item()
    assert found == pytest.approx(0.25)
    table = metrics.reliability(frame).filter(level="Alta")
    assert table.select("predicted", "observed", "rows").row(0) == (0.75, 0.5, 10)


def test_identical_blocks_leave_no_doubt_and_different_ones_do() -> None:
    true = ["Alta", "Media", "Baja", "Alta"] * 24
    hours = [hour for hour in range(24) for _ in range(4)]
    starts = pl.Series([tiny_model.START.replace(hour=h) for h in hours])
    same = frame_of(true, ["Alta", "Media", "Alta", "Media"] * 24).with_columns(
        window_start=starts.cast(pl.Datetime("us", "UTC"))
    )
    row = metrics.score(same, PARAMS).filter(slice="all", metric="accuracy").row(0, named=True)
    assert row["low"] == row["high"] == row["value"] == 0.5
    mixed = same.with_columns(
        predicted=pl.when(pl.col("window_start").dt.hour() < 12)
        .then("level")
        .otherwise("predicted")
    )
    row = metrics.score(mixed, PARAMS).filter(slice="all", metric="accuracy").row(0, named=True)
    assert row["low"] < 0.75 == row["value"] < row["high"]


def test_a_paired_difference_of_a_model_with_itself_is_nothing() -> None:
    own = tiny_model.result().of("dynamics")
    assert metrics.difference(own, own, PARAMS) == (0.0, 0.0, 0.0)
    value, low, high = metrics.difference(own, tiny_model.result().of("majority"), PARAMS)
    assert 0 < low <= value <= high


def test_slices_are_scores_of_the_parts() -> None:
    own = tiny_model.result().of("dynamics")
    table = metrics.slices(own, "country", PARAMS)
    assert table["slice"].unique().sort().to_list() == ["country:CO", "country:ES", "country:US"]
    here = metrics.score(own.filter(country="ES"), PARAMS).filter(slice="all")
    assert table.filter(slice="country:ES").drop("slice").equals(here.drop("slice"))
    blocks = metrics.over_time(own, PARAMS)
    assert blocks.columns == ["time", "macro_f1"] and blocks["time"].is_sorted()


def test_rows_for_the_table() -> None:
    result = tiny_model.result()
    table = metrics.metrics_rows(
        result.metrics, run_id=result.run_id, model=PARAMS.model, written_at=tiny_model.START
    )
    assert table.columns == [field.name for field in MODEL_METRICS.schema]
    assert table.select(MODEL_METRICS.key).is_unique().all()
    assert table.drop("value", "low", "high", "passed").null_count().sum_horizontal().item() == 0
