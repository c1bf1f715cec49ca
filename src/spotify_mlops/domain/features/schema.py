"""Columns of the frames between the events and the model's inputs."""

from __future__ import annotations

import polars as pl

from ..events.schema import UTC_MICROSECONDS

Schema = dict[str, pl.DataType | type[pl.DataType]]

ROW_KEY = ("window_start", "country", "track_id")
"""The unit of features, labels and predictions."""

COUNT_COLUMNS = ("n", "plays", "skips", "searches", "releases", "recommendations")

AGGREGATE_SCHEMA: Schema = {
    "window_start": UTC_MICROSECONDS,
    "country": pl.String,
    "track_id": pl.String,
    **dict.fromkeys(COUNT_COLUMNS, pl.Int64),
    "track_name": pl.String,
    "artist_name": pl.String,
    "release_date": pl.Date,
    "popularity": pl.Int16,
}
"""What `aggregate` returns: one row per key with at least one event in its window."""

RANKED_SCHEMA: Schema = AGGREGATE_SCHEMA | {
    "play_score": pl.Float64,  # 0-100, null without plays
    "attention_rank": pl.Float64,  # 0-100, the same over n
    "plays_p40": pl.Float64,  # plays of the track at the 40 % of the country's ranking
    "plays_p70": pl.Float64,
    "artist_tracks": pl.Int64,  # tracks of the same artist there, this one included
    "artist_best_score": pl.Float64,  # best play score of the artist's other tracks, 0 if none
}
"""What `rank` returns."""

CARRIED_SCHEMA: Schema = {
    "window_start": UTC_MICROSECONDS,  # the later window that looks back at this row
    "country": pl.String,
    "track_id": pl.String,
    "lag": pl.Int32,
    "score": pl.Float64,  # play score, 0 without plays
    "relative_plays": pl.Float64,
    "signals": pl.Int64,  # searches + recommendations
    "release_date": pl.Date,
}
"""What `carry` returns: only what the features of a later window read."""

DESCRIPTIVE_SCHEMA: Schema = {
    "track_name": pl.String,
    "artist_name": pl.String,
    **dict.fromkeys(COUNT_COLUMNS, pl.Int64),
    "play_score": pl.Float64,
}
"""Columns of the features table that describe a row and are not model inputs."""


def empty(schema: Schema) -> pl.DataFrame:
    """Return a frame without rows and with the right dtypes."""
    return pl.DataFrame(schema=schema)
