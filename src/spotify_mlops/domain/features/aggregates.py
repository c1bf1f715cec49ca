"""Unique events to one row per window, country and track."""

from __future__ import annotations

import polars as pl

from ..events.schema import DUPLICATE_KEY
from ..schemas import AGGREGATE_SCHEMA, ROW_KEY

_TYPE_OF_COLUMN = {
    "plays": "play",
    "skips": "skip",
    "searches": "search_result",
    "releases": "new_release",
    "recommendations": "recommendation",
}

MAX_TOTAL = 10**18
"""Sums stop here: above it integers of 64 bits, and the arithmetic on them, would wrap around."""


def dedup(events: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split events into those that count and their later copies.

    Args:
        events: ``EVENT_COLUMNS`` with ``partition`` and ``offset``.

    Returns:
        ``(unique, duplicates)``, each in (partition, offset) order with the input's columns. Of
        events equal in ``DUPLICATE_KEY`` the one with the lowest (partition, offset) is unique.
    """
    ordered = events.sort("partition", "offset")
    # Comparing four columns of every row is slow; comparing one hash is not. Only rows whose hash
    # is not alone are compared in full, so a collision of hashes cannot make a duplicate.
    suspects = ordered.select(pl.struct(DUPLICATE_KEY).hash().is_duplicated()).to_series()
    if not suspects.any():
        return ordered, ordered.clear()
    rows = suspects.arg_true()
    first = ordered.select(pl.col(DUPLICATE_KEY).gather(rows)).select(
        pl.struct(DUPLICATE_KEY).is_first_distinct()
    )
    repeated = rows.filter(~first.to_series())
    unique = pl.Series([True], dtype=pl.Boolean).new_from_index(0, len(ordered))
    unique = unique.scatter(repeated, False)
    return ordered.filter(unique), ordered.filter(~unique)


def aggregate(events: pl.DataFrame) -> pl.DataFrame:
    """Sum the unique events of each window, country and track.

    >>> from datetime import UTC, date, datetime
    >>> hour = datetime(2026, 1, 5, 10, tzinfo=UTC)
    >>> events = pl.DataFrame({
    ...     "window_start": [hour] * 3, "country": ["CO"] * 3, "track_id": ["t", "t", "u"],
    ...     "event_type": ["play", "skip", "play"], "count": [5, 1, 2],
    ...     "track_name": ["T", "T", "U"], "artist_name": ["A"] * 3,
    ...     "release_date": [date(2025, 5, 1)] * 3, "popularity": [None, 60, 40]})
    >>> aggregate(events).select("track_id", "n", "plays", "skips", "popularity").rows()
    [('t', 6, 5, 1, 60), ('u', 2, 2, 0, 40)]

    Args:
        events: unique events with ``window_start``; any number of windows, any order.

    Returns:
        ``AGGREGATE_SCHEMA``, sorted by key. ``n`` is the sum of ``count``, and so are ``plays``,
        ``skips``, ``searches``, ``releases`` and ``recommendations`` for their event type. Where
        events disagree: the alphabetically first name, the earliest release, the highest
        popularity, so that the order of arrival does not matter. No sum exceeds ``MAX_TOTAL``.
    """
    largest = events["count"].max() or 0
    # Sums of 128 bits are slow, and needed for more than a million of the largest counts alone.
    wide = isinstance(largest, int) and largest * events.height > MAX_TOTAL
    count = pl.col("count").cast(pl.Int128) if wide else pl.col("count")
    return (
        events.lazy()
        .with_columns(count)
        .select(
            *ROW_KEY,
            "count",
            *(
                pl.when(pl.col("event_type") == event_type)
                .then(pl.col("count"))
                .otherwise(0)
                .alias(name)
                for name, event_type in _TYPE_OF_COLUMN.items()
            ),
            "track_name",
            "artist_name",
            "release_date",
            "popularity",
        )
        .group_by(ROW_KEY)
        .agg(
            pl.col("count").sum().clip(upper_bound=MAX_TOTAL).alias("n"),
            pl.col(*_TYPE_OF_COLUMN).sum().clip(upper_bound=MAX_TOTAL),
            pl.col("track_name", "artist_name", "release_date").min(),
            pl.col("popularity").max(),
        )
        .cast(pl.Schema(AGGREGATE_SCHEMA))
        .select(*AGGREGATE_SCHEMA)
        .sort(ROW_KEY)
        .collect()
    )
