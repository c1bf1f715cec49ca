"""The model inputs of each row: its own window, its lags, the other countries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import polars as pl

from ..schemas import DESCRIPTIVE_SCHEMA, ROW_KEY
from ..windows import Windowing
from .aggregates import aggregate
from .codes import ROW, TRACK, Codes, best_of_others, best_two
from .names import Inputs, country_feature
from .ranking import carry, rank, relative_plays

_SCORE_UNIT = 1_000_000
"""Scores are summed as whole millionths: integer sums do not depend on the order of rows."""

_DAYS_OF_YEAR = 365.25


def build(
    own: pl.DataFrame, carried: pl.DataFrame, inputs: Inputs, windowing: Windowing
) -> pl.DataFrame:
    """Compute the model inputs of each row of ``own``.

    Args:
        own: ``RANKED_SCHEMA``; all countries of a track's window must be in the same frame.
        carried: ``CARRIED_SCHEMA``; rows that no row of ``own`` asks for are ignored.
        inputs: the earlier windows to read from ``carried``, and the countries.
        windowing: the length of a window.

    Returns:
        Row key, ``DESCRIPTIVE_SCHEMA`` and ``inputs.names()`` (Float64, never null),
        sorted by key. Everything is known when the row's window closes.
    """
    lags = inputs.lags
    codes = Codes.of(own, carried, windowing)
    rows = codes.add_to(own).with_columns(country_rank=pl.col("play_score").fill_null(0.0))
    earlier = codes.add_to(carried).filter(pl.col("lag").is_in(list(lags)))
    earlier = earlier.join(rows.select(TRACK).unique(), on=TRACK, how="semi")
    rows = _with_other_countries(rows)
    for lag in lags:
        rows = _with_lag(rows, earlier.filter(pl.col("lag") == lag), lag)
    if inputs.target == "api":
        rows = _with_popularity(rows, earlier, lags)
    rows = (
        rows.join(_releases(rows, earlier), on=TRACK, how="left")
        .with_columns(_own_window(inputs.countries))
        .with_columns(_lag_summaries(lags, windowing))
    )
    return (
        _with_each_country(rows, inputs.countries)
        .select(*ROW_KEY, *DESCRIPTIVE_SCHEMA, pl.col(inputs.names()).cast(pl.Float64))
        .sort(ROW_KEY)
    )


def reference(events: pl.DataFrame, windowing: Windowing, inputs: Inputs) -> pl.DataFrame:
    """Compute the features of a whole set of unique events at once.

    This is the plain computation that every pipeline must equal.
    """
    windowed = events.with_columns(window_start=windowing.start_expr("event_time"))
    ranked = rank(aggregate(windowed))
    return build(ranked, carry(ranked, inputs.lags, windowing), inputs, windowing)


def _own_window(countries: Sequence[str]) -> list[pl.Expr]:
    start = pl.col("window_start")
    skipped = _divided(pl.col("skips"), pl.col("plays") + pl.col("skips"))
    year = (start.dt.ordinal_day().cast(pl.Float64) - 1) * (2 * math.pi / _DAYS_OF_YEAR)
    return [
        start.dt.hour().alias("hour_of_day"),
        _divided(pl.col("searches"), pl.col("n")).alias("event_type_search_result"),
        *((pl.col("country") == code).alias(country_feature(code)) for code in countries),
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


def _units(score: str) -> pl.Expr:
    return (pl.col(score) * _SCORE_UNIT).round().cast(pl.Int64)


def _mean_of_others(total: pl.Expr, others: pl.Expr) -> pl.Expr:
    return pl.when(others > 0).then(_divided(total, _SCORE_UNIT * others)).otherwise(0.0)


def _divided(numerator: pl.Expr, denominator: pl.Expr) -> pl.Expr:
    """Divide row by row, also where a column holds one value.

    Polars multiplies by the reciprocal there: the last bit would depend on which rows share the
    frame.
    """
    return pl.map_batches([numerator, denominator], _quotient, return_dtype=pl.Float64)


def _quotient(columns: Sequence[pl.Series]) -> pl.Series:
    numerator, denominator = (column.to_numpy() for column in columns)
    with np.errstate(divide="ignore", invalid="ignore"):
        return pl.Series(numerator / denominator, dtype=pl.Float64)


def _with_other_countries(rows: pl.DataFrame) -> pl.DataFrame:
    """Add what the track does in the other countries of the same window."""
    everywhere = rows.group_by(TRACK).agg(
        _units("country_rank").sum().alias("_total"), pl.len().cast(pl.Int64).alias("_countries")
    )
    others = pl.col("_countries") - 1
    return (
        rows.join(everywhere, on=TRACK, how="left")
        .join(best_two(rows, TRACK, "country_rank"), on=TRACK, how="left")
        .with_columns(
            others.alias("other_countries"),
            best_of_others("country_rank").alias("other_best_score"),
            _mean_of_others(pl.col("_total") - _units("country_rank"), others).alias(
                "other_mean_score"
            ),
        )
        .drop("_total", "_countries", "best", "second")
    )


def _with_lag(rows: pl.DataFrame, lagged: pl.DataFrame, lag: int) -> pl.DataFrame:
    """Add what the track did ``lag`` windows earlier, here and in the other countries."""
    own = lagged.select(
        ROW,
        _units("score").alias("_own"),
        pl.col("score").alias(f"score_lag_{lag}"),
        pl.col("relative_plays").alias(f"plays_lag_{lag}"),
        _log1p("signals").alias(f"signals_lag_{lag}"),
    )
    everywhere = lagged.group_by(TRACK).agg(
        _units("score").sum().alias("_total"), pl.len().cast(pl.Int64).alias("_countries")
    )
    present = pl.col("_own").is_not_null()
    others = pl.col("_countries").fill_null(0) - present.cast(pl.Int64)
    total = pl.col("_total").fill_null(0) - pl.col("_own").fill_null(0)
    # Absent: fewer plays than any track that was there, on the scale of the row's own window.
    absent = -(pl.col("plays_p40") + 1).log()
    return (
        rows.join(own, on=ROW, how="left")
        .join(everywhere, on=TRACK, how="left")
        .with_columns(
            _mean_of_others(total, others).alias(f"other_score_lag_{lag}"),
            present.alias(f"_present_{lag}"),
            pl.col(f"score_lag_{lag}", f"signals_lag_{lag}").fill_null(0.0),
            pl.col(f"plays_lag_{lag}").fill_null(absent),
        )
        .drop("_own", "_total", "_countries")
    )


def _with_popularity(
    rows: pl.DataFrame, earlier: pl.DataFrame, lags: Sequence[int]
) -> pl.DataFrame:
    """Add the API's own popularity now, and what it was: where that is not known, as it is now."""
    now = pl.col("popularity").cast(pl.Float64)
    rows = rows.with_columns(api_popularity=now.fill_null(0.0), api_known=now.is_not_null())
    for lag in lags:
        then = earlier.filter(pl.col("lag") == lag).select(
            ROW, pl.col("popularity").cast(pl.Float64).alias("_then")
        )
        rows = (
            rows.join(then, on=ROW, how="left")
            .with_columns(pl.coalesce("_then", "api_popularity").alias(f"api_lag_{lag}"))
            .with_columns(
                pl.when("api_known")
                .then(pl.col("api_popularity") - pl.col(f"api_lag_{lag}"))
                .otherwise(0.0)
                .alias(f"api_change_{lag}")
            )
            .drop("_then")
        )
    return rows


def _with_each_country(rows: pl.DataFrame, countries: Sequence[str]) -> pl.DataFrame:
    """Add the track's relative plays and their momentum in each country of the model."""
    # Absent: as in `_with_lag`, and still.
    absent = -(pl.col("plays_p40") + 1).log()
    for code in countries:
        plays, momentum = f"plays_in_{code}", f"plays_momentum_in_{code}"
        there = rows.filter(pl.col("country") == code).select(
            TRACK,
            pl.col("plays_over_p40").alias(plays),
            pl.col("plays_momentum").alias(momentum),
        )
        rows = rows.join(there, on=TRACK, how="left").with_columns(
            pl.col(plays).fill_null(absent), pl.col(momentum).fill_null(0.0)
        )
    return rows


def _releases(rows: pl.DataFrame, earlier: pl.DataFrame) -> pl.DataFrame:
    """Return the release date of each track, told by any country or any looked-at window."""
    told = pl.concat([rows.select(TRACK, "release_date"), earlier.select(TRACK, "release_date")])
    return told.group_by(TRACK).agg(pl.col("release_date").min().alias("_released"))


def _lag_summaries(lags: Sequence[int], windowing: Windowing) -> list[pl.Expr]:
    current = pl.col("country_rank")
    scores = [pl.col(f"score_lag_{lag}") for lag in lags]
    present = [pl.col(f"_present_{lag}").cast(pl.Int64) for lag in lags]
    momentum = pl.lit(0.0)
    changes = [pl.col("plays_over_p40") - pl.col(f"plays_lag_{lag}") for lag in lags]
    plays_momentum = acceleration = pl.lit(0.0)
    if lags:
        momentum = current - pl.col(f"score_lag_{lags[0]}")
        plays_momentum = changes[0]
    if len(lags) > 1:
        before = pl.col(f"plays_lag_{lags[0]}") - pl.col(f"plays_lag_{lags[1]}")
        acceleration = changes[0] - before
    return [
        _age(lags, windowing).alias("age"),
        pl.col("_released").is_not_null().alias("age_from_release"),
        pl.sum_horizontal(pl.lit(0, pl.Int64), *present).alias("lags_present"),
        momentum.alias("momentum"),
        plays_momentum.alias("plays_momentum"),
        acceleration.alias("plays_acceleration"),
        *(change.alias(f"plays_change_{lag}") for lag, change in zip(lags, changes, strict=True)),
        pl.mean_horizontal(current, *scores).alias("mean_score"),
        pl.max_horizontal(current, *scores).alias("peak_score"),
    ]


def _age(lags: Sequence[int], windowing: Windowing) -> pl.Expr:
    """Return the age in windows: since the release, else the largest lag with events.

    A release announced for after the window's end has age 0.
    """
    released = pl.col("_released").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    length = windowing.length // timedelta(microseconds=1)
    since = (pl.col("window_start") + windowing.length - released).dt.total_microseconds()
    seen = [pl.col(f"_present_{lag}").cast(pl.Int64) * lag for lag in lags]
    largest = pl.max_horizontal(pl.lit(0, pl.Int64), *seen)
    # Times the reciprocal: polars divides by a number one way or the other, see `_divided`.
    windows = since.cast(pl.Float64) * (1 / length)
    return pl.coalesce(windows.clip(lower_bound=0.0), largest.cast(pl.Float64))
