"""Whether a run of the graph gave the tables that the oracle gives."""

from __future__ import annotations

import polars as pl
from polars.testing import assert_frame_equal

from logs import BASE, Run
from oracle import Rules, Tables
from spotify_mlops.config import params
from spotify_mlops.config.params import Params
from spotify_mlops.domain import features, labels
from spotify_mlops.domain.watermark import watermark
from spotify_mlops.domain.windows import Windowing
from spotify_mlops.pipeline import steps

LEVELS = (70.0, 40.0)


def settings_of(rules: Rules, batch: int) -> Params:
    return params.load(
        "local",
        window=rules.window,
        window_offset=rules.window_offset,
        allowed_lateness=rules.lateness,
        lags=list(rules.lags),
        model_countries=list(rules.countries),
        target=rules.target,
        horizon=rules.horizon,
        clock_skew=rules.clock_skew,
        archive="/nonexistent",
        batch_records=batch,
    )


def shape_of(
    rules: Rules, shards: int, bucket: int, sources: int = 1, backlog: int | None = None
) -> steps.Shape:
    """Cut the work; ``bucket`` windows an element, of a backlog of so many windows where given."""
    windowing = Windowing(rules.window, rules.window_offset)
    inputs = features.Inputs(rules.lags, rules.countries, rules.target)
    single_from = None if backlog is None else windowing.start(BASE) + backlog * rules.window
    return steps.Shape(windowing, inputs, shards, bucket, sources, single_from)


def assert_tables(run: Run, tables: Tables, rules: Rules) -> None:
    """Check everything that a run gave, value for value."""
    names = tables.records.columns
    assert_frame_equal(run.records.select(names), tables.records.sort("partition", "offset"))
    reached = watermark(run.progress.marks, rules.lateness)
    assert reached == tables.watermark
    counters = run.counters.group_by("window_start", "log_partition").agg(
        pl.col("counted", "duplicates").sum()
    )
    assert_frame_equal(
        counters.sort("window_start", "log_partition"), tables.counters, check_dtypes=False
    )
    assert_features(run.features, tables.features)
    labelled = labels.label(
        run.features, rules.horizon, Windowing(rules.window, rules.window_offset),
        reached or BASE, LEVELS,
    )  # fmt: skip
    if reached is not None:
        assert_frame_equal(labelled.select(tables.labels.columns), tables.labels)


def assert_features(found: pl.DataFrame, wanted: pl.DataFrame) -> None:
    assert_frame_equal(
        found,
        wanted.select(found.columns),
        check_dtypes=False,
        rel_tol=1e-9,
        abs_tol=1e-6,  # means over countries are of whole millionths
    )
