"""Where a model can be expected to be weak: what it has not met, and what lies far ahead."""

from __future__ import annotations

import polars as pl

from ..config.params import Params
from ..domain.features import ROW_KEY
from . import metrics
from .dataset import Split

PARTS = 3
"""Parts of the test range, of as many windows each, the nearest to training first."""

GROUPS = ("track", "history", "part")
"""Kinds of slices that `score` makes."""


def score(predictions: pl.DataFrame, ranges: Split, params: Params) -> pl.DataFrame:
    """Score a model on parts of the test range.

    Args:
        predictions: of the test range: row key, ``level``, ``predicted`` and probabilities.
        ranges: the rows behind them.
        params: bootstrap.

    Returns:
        As `metrics.slices`. ``track:unseen`` are the tracks of a country that had no row there
        before the test range, ``track:seen`` the others; ``history:none`` the rows whose lags are
        all empty, as a track's first are, ``history:some`` the others; ``part:1``... the parts of
        the range in time.
    """
    known = ranges.development.select("country", "track_id", _known=True).unique()
    windows = predictions["window_start"].unique().sort()
    size = max(1, -(-len(windows) // PARTS))
    order = pl.col("window_start").rank("dense") - 1
    rows = (
        predictions.join(ranges.test.select(*ROW_KEY, "lags_present"), on=ROW_KEY)
        .join(known, on=["country", "track_id"], how="left")
        .sort(ROW_KEY)
        .with_columns(
            track=pl.when("_known").then(pl.lit("seen")).otherwise(pl.lit("unseen")),
            history=pl.when(pl.col("lags_present") > 0)
            .then(pl.lit("some"))
            .otherwise(pl.lit("none")),
            part=(order // size + 1).cast(pl.String),
        )
    )
    return pl.concat([metrics.slices(rows, group, params) for group in GROUPS])
