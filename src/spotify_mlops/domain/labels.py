"""The level of a track ``horizon`` windows later: what the model learns to predict.

`label` is the plain computation; the view ``spotify_labels`` must equal it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import polars as pl

from .schemas import LABEL_SCHEMA, ROW_KEY
from .windows import Windowing

LEVELS = ("Alta", "Media", "Baja")
"""From most to least popular."""


def is_of_api(columns: Iterable[str]) -> bool:
    """Tell whether features with these columns are made for the API's own popularity."""
    return "api_popularity" in columns


def score_of(columns: Iterable[str]) -> pl.Expr:
    """Return the score (0-100) whose thresholds are the levels, of features with these columns.

    It is the play score, null without plays; where the features are made for the API's own
    popularity (``target: api``), that, null where it is not known.
    """
    if is_of_api(columns):
        return pl.when(pl.col("api_known") == 1).then("api_popularity")
    return pl.col("play_score")


def level_of(score: str | pl.Expr, thresholds: Sequence[float]) -> pl.Expr:
    """Return the level of a play score (0-100); a null score, an absent track, is Baja.

    Args:
        score: column or expression of play scores.
        thresholds: ``(alta, media)``, the lowest score of each of the two.
    """
    alta, media = thresholds
    score = pl.col(score) if isinstance(score, str) else score
    return (
        pl.when(score >= alta)
        .then(pl.lit("Alta"))
        .when(score >= media)
        .then(pl.lit("Media"))
        .otherwise(pl.lit("Baja"))
    )


def label(
    rows: pl.DataFrame,
    horizon: int,
    windowing: Windowing,
    closed_until: datetime,
    thresholds: Sequence[float],
) -> pl.DataFrame:
    """Return the level of each row's track in its country ``horizon`` windows later.

    >>> from datetime import UTC, timedelta
    >>> hours = [datetime(2026, 1, 5, hour, tzinfo=UTC) for hour in (10, 11, 12)]
    >>> rows = pl.DataFrame({
    ...     "window_start": [hours[0], hours[0], hours[1]], "country": ["CO"] * 3,
    ...     "track_id": ["t", "u", "t"], "play_score": [50.0, 100.0, 75.0]})
    >>> hourly = Windowing(timedelta(hours=1))
    >>> label(rows, 1, hourly, closed_until=hours[2], thresholds=(70, 40)).select(
    ...     "track_id", "level", "label_score").rows()
    [('t', 'Alta', 75.0), ('u', 'Baja', None)]

    Args:
        rows: features or ranked rows: row key and what `score_of` reads, with every row of every
            window that a label looks at.
        horizon: number of windows, at least 1.
        windowing: length of the windows.
        closed_until: the log's watermark; a window whose end is later is not closed, and rows
            that look at it have no label yet.
        thresholds: ``(alta, media)`` of the play score.

    Returns:
        ``LABEL_SCHEMA``, one row per row whose label window is closed, sorted by key. Of the
        API's own popularity there are labels only where it is known in the label window: who is
        not shown there is not unpopular for it.
    """
    later = rows.lazy().select(
        pl.col("window_start").alias("label_window"),
        "country",
        "track_id",
        score_of(rows.columns).alias("label_score"),
    )
    known = pl.col("label_score").is_not_null() if is_of_api(rows.columns) else pl.lit(True)
    return (
        rows.lazy()
        .select(ROW_KEY)
        .with_columns(
            label_window=windowing.shift_expr("window_start", horizon),
            horizon=pl.lit(horizon, pl.Int64),
        )
        .filter(pl.col("label_window") + windowing.length <= closed_until)
        .join(later, on=("label_window", "country", "track_id"), how="left")
        .filter(known)
        .with_columns(level=level_of("label_score", thresholds))
        .cast(pl.Schema(LABEL_SCHEMA))
        .select(*LABEL_SCHEMA)
        .sort(ROW_KEY)
        .collect()
    )
