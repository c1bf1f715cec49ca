"""The model inputs of each row: its own window, its lags, the other countries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

import polars as pl

from ..windows import Windowing
from .aggregates import aggregate
from .names import MODEL_COUNTRIES, feature_names
from .ranking import carry, rank, relative_plays
from .schema import DESCRIPTIVE_SCHEMA, ROW_KEY

_TRACK = ("window_start", "track_id")
_SCORE_UNIT = 1_000_000
"""Scores are summed as whole millionths: integer sums do not depend on the order of rows."""

_DAYS_OF_YEAR = 365.25


def build(
    own: pl.DataFrame, carried: pl.DataFrame, lags: Sequence[int], windowing: Windowing
) -> pl.DataFrame:
    """Compute the model inputs of each row of ``own``.

    Args:
        own: ``RANKED_SCHEMA``; all countries of a track's window must be in the same frame.
        carried: ``CARRIED_SCHEMA``; rows that no row of ``own`` asks for are ignored.
        lags: the earlier windows to read from ``carried``, increasing.
        windowing: the length of a window.

    Returns:
        Row key, ``DESCRIPTIVE_SCHEMA`` and ``feature_names("dynamics", lags)`` (Float64, never
        null), sorted by key. Everything is known when the row's window closes.
    """
    wanted = own.lazy().select(_TRACK).unique()
    carried = carried.lazy().join(wanted, on=_TRACK, how="semi").collect()
    rows = own.lazy().with_columns(country_rank=pl.col("play_score").fill_null(0.0))
    rows = rows.with_columns(_other_countries())
    for lag in lags:
        rows = _with_lag(rows, carried.filter(pl.col("lag") == lag).lazy(), lag)
    released = (
        carried.lazy().group_by(_TRACK).agg(pl.col("release_date").min().alias("_released_before"))
    )
    return (
        rows.join(released, on=_TRACK, how="left")
        .with_columns(_own_window())
        .with_columns(_lag_summaries(lags, windowing))
        .select(
            *ROW_KEY, *DESCRIPTIVE_SCHEMA, pl.col(feature_names("dynamics", lags)).cast(pl.Float64)
        )
        .sort(ROW_KEY)
        .collect()
    )


def reference(
    events: pl.DataFrame, windowing: Windowing, lags: Sequence[int]
) -> pl.DataFrame:
    """Compute the features of a whole set of unique events at once.

    This is the plain computation that every pipeline must equal.
    """
    windowed = events.with_columns(window_start=windowing.start_expr("event_time"))
    ranked = rank(aggregate(windowed))
    return build(ranked, carry(ranked, lags, windowing), lags, windowing)


def _own_window() -> list[pl.Expr]:
    start = pl.col("window_start")
    skipped = pl.col("skips") / (pl.col("plays") + pl.col("skips"))
    year = (start.dt.ordinal_day().cast(pl.Float64) - 1) * (2 * math.pi / _DAYS_OF_YEAR)
    return [
        start.dt.hour().alias("hour_of_day"),
        (pl.col("searches") / pl.col("n")).alias("event_type_search_result"),
        *((pl.col("country") == code).alias(f"country_{code}") for code in MODEL_COUNTRIES),
        (start.dt.weekday() - 1).alias("day_of_week"),  # Monday is 0
        year.sin().alias("year_sin"),
        year.cos().alias("year_cos"),
        _log1p("plays").alias("log_plays"),
        relative_plays(pl.col("plays"), pl.col("plays_p40")).alias("plays_over_p40"),
        relative_plays(pl.col("plays"), pl.col("plays_p70")).alias("plays_over_p70"),
        skipped.fill_nan(0.0).alias("skip_rate"),
        _log1p("searches").alias("log_searches"),
        _log1p("recommendations").alias("log_recommendations"),
        _log1p("releases").alias("log_releases"),
    ]


def _log1p(name: str) -> pl.Expr:
    return (pl.col(name) + 1).cast(pl.Float64).log()


def _other_countries() -> list[pl.Expr]:
    """Return what the track does in the other countries of the same window."""
    score = pl.col("country_rank")
    best = score.max().over(_TRACK)
    holders = (score == best).sum().over(_TRACK)
    second = pl.when(score < best).then(score).max().over(_TRACK).fill_null(0.0)
    others = pl.len().over(_TRACK).cast(pl.Int64) - 1
    units = _in_units(score)
    rest = (units.sum().over(_TRACK) - units) / (_SCORE_UNIT * others)
    return [
        others.alias("other_countries"),
        pl.when(others == 0)
        .then(0.0)
        .when((score == best) & (holders == 1))
        .then(second)
        .otherwise(best)
        .alias("other_best_score"),
        pl.when(others == 0).then(0.0).otherwise(rest).alias("other_mean_score"),
    ]


def _in_units(score: pl.Expr) -> pl.Expr:
    return (score * _SCORE_UNIT).round().cast(pl.Int64)


def _with_lag(rows: pl.LazyFrame, lagged: pl.LazyFrame, lag: int) -> pl.LazyFrame:
    own = lagged.select(
        *ROW_KEY,
        _in_units(pl.col("score")).alias("_units"),
        pl.col("score").alias(f"score_lag_{lag}"),
        pl.col("relative_plays").alias(f"plays_lag_{lag}"),
        (pl.col("signals") + 1).cast(pl.Float64).log().alias(f"signals_lag_{lag}"),
    )
    everywhere = lagged.group_by(_TRACK).agg(
        _in_units(pl.col("score")).sum().alias("_total"), pl.len().cast(pl.Int64).alias("_countries")
    )
    present = pl.col(f"score_lag_{lag}").is_not_null()
    others = pl.col("_countries").fill_null(0) - present.cast(pl.Int64)
    total = pl.col("_total").fill_null(0) - pl.col("_units").fill_null(0)
    # Absent: fewer plays than any track that was there, on the scale of the row's own window.
    absent = -(pl.col("plays_p40") + 1).log()
    return (
        rows.join(own, on=ROW_KEY, how="left")
        .join(everywhere, on=_TRACK, how="left")
        .with_columns(
            pl.when(others > 0)
            .then(total / (_SCORE_UNIT * others))
            .otherwise(0.0)
            .alias(f"other_score_lag_{lag}"),
            present.alias(f"_present_{lag}"),
            pl.col(f"score_lag_{lag}", f"signals_lag_{lag}").fill_null(0.0),
            pl.col(f"plays_lag_{lag}").fill_null(absent),
        )
        .drop("_units", "_total", "_countries")
    )


def _lag_summaries(lags: Sequence[int], windowing: Windowing) -> list[pl.Expr]:
    current = pl.col("country_rank")
    scores = [pl.col(f"score_lag_{lag}") for lag in lags]
    first = lags[0] if lags else None
    present = [pl.col(f"_present_{lag}").cast(pl.Int64) for lag in lags]
    seen = [p * lag for p, lag in zip(present, lags, strict=True)]
    return [
        *_age(seen, windowing),
        (pl.sum_horizontal(present) if lags else pl.lit(0)).alias("lags_present"),
        (current - pl.col(f"score_lag_{first}") if lags else pl.lit(0.0)).alias("momentum"),
        (
            pl.col("plays_over_p40") - pl.col(f"plays_lag_{first}") if lags else pl.lit(0.0)
        ).alias("plays_momentum"),
        pl.mean_horizontal(current, *scores).alias("mean_score"),
        pl.max_horizontal(current, *scores).alias("peak_score"),
    ]


def _age(seen: list[pl.Expr], windowing: Windowing) -> list[pl.Expr]:
    """Return the age in windows: since the release, else the largest lag with events.

    The release date counts when any country or looked-at window tells it, and not when it is
    in the future of the window's end (a pre-announced album has no age yet: 0).
    """
    released = pl.min_horizontal(
        pl.col("release_date").min().over(_TRACK), pl.col("_released_before")
    ).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    end = pl.col("window_start") + windowing.length
    since = (end - released).dt.total_microseconds() / (
        windowing.length // timedelta(microseconds=1)
    )
    by_lags = pl.max_horizontal(seen) if seen else pl.lit(0)
    return [
        pl.coalesce(since.clip(lower_bound=0.0), by_lags.cast(pl.Float64)).alias("age"),
        released.is_not_null().alias("age_from_release"),
    ]
