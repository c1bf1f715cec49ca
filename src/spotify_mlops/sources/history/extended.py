"""Ordinary streams of Spotify's extended history, many at a time.

An export has hundreds of thousands of entries, nearly all of them alike: a track, a time, a
country, milliseconds. Those are read as columns; every other entry, one by one
(`generations.listen`), which gives the same of these too.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from ...domain.events import COUNTRIES
from .entries import Entry
from .generations import SKIPPED_BELOW_MS, TIME

_COLUMNS = {
    "ts": pl.String, "uri": pl.String, "track_name": pl.String, "artist_name": pl.String,
    "album_name": pl.String, "country": pl.String, "reason_end": pl.String, "ms": pl.Int64,
}  # fmt: skip


def ordinary_streams(entries: list[Any]) -> pl.DataFrame:
    """Return the ordinary streams among some entries.

    Returns:
        ``_row`` (place in ``entries``), ``event_time``, ``track_id``, ``track_name``,
        ``artist_name``, ``album_name``, ``event_type``, ``country``.
    """
    try:
        frame = _columns(entries)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        frame = pl.DataFrame(schema=_COLUMNS)
    names = ("track_name", "artist_name", "album_name")
    heard = (pl.col("ms") >= SKIPPED_BELOW_MS) | (
        (pl.col("reason_end") == "trackdone").fill_null(False) & (pl.col("ms") > 0)
    )
    return (
        frame.with_row_index("_row")
        .with_columns(
            pl.col("ts").str.to_datetime(TIME, time_unit="us", time_zone="UTC", strict=False),
            pl.col("uri").str.strip_prefix("spotify:track:").alias("track_id"),
            *(pl.col(name).str.strip_chars() for name in names),
        )
        .filter(
            pl.col("ts").is_not_null()
            & pl.col("ms").is_not_null()
            & pl.col("country").is_in(sorted(COUNTRIES))
            & pl.col("uri").str.contains(r"^spotify:track:[A-Za-z0-9]+$")
        )
        .select(
            "_row",
            pl.col("ts").alias("event_time"),
            "track_id",
            *(pl.when(pl.col(name) != "").then(name).alias(name) for name in names),
            pl.when(heard).then(pl.lit("play")).otherwise(pl.lit("skip")).alias("event_type"),
            "country",
        )
    )


def _columns(entries: list[Any]) -> pl.DataFrame:
    if None in entries:
        entries = [Entry() if entry is None else entry for entry in entries]
    # With their names in the code Python reads attributes twice as fast.
    values = (
        [entry.ts for entry in entries],
        [entry.spotify_track_uri for entry in entries],
        [entry.master_metadata_track_name for entry in entries],
        [entry.master_metadata_album_artist_name for entry in entries],
        [entry.master_metadata_album_album_name for entry in entries],
        [entry.conn_country for entry in entries],
        [entry.reason_end for entry in entries],
        [entry.ms_played for entry in entries],
    )
    return pl.DataFrame(
        [
            pl.Series(name, column, kind)
            for (name, kind), column in zip(_COLUMNS.items(), values, strict=True)
        ]
    )
