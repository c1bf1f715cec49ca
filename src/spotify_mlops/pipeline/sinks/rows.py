"""Frames of the pipeline to rows of the BigQuery tables. Pure functions."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from ...domain.events import EVENT_COLUMNS, Kind, withheld
from ...domain.windows import Windowing

_POSITION = (
    pl.col("partition").cast(pl.Int64).alias("log_partition"),
    pl.col("offset").alias("log_offset"),
    pl.col("append_time"),
)


def event_rows(marked: pl.DataFrame, windowing: Windowing) -> pl.DataFrame:
    """Return a row of ``spotify_events`` for each event, late ones and duplicates too."""
    return marked.filter(pl.col("kind") == Kind.EVENT).select(
        *(pl.col(name) for name in EVENT_COLUMNS if name != "popularity"),
        pl.col("popularity").cast(pl.Int64),
        windowing.start_expr("event_time").alias("window_start"),
        pl.col("late"),
        *_POSITION,
    )


def dead_letter_rows(marked: pl.DataFrame, topic: str) -> pl.DataFrame:
    """Return a row of ``spotify_dead_letters`` for each record that is no event.

    It is whole, but for a record that the reader did not take in: its detail says what it was.
    """
    letters = marked.filter(pl.col("kind") == Kind.DEAD_LETTER)
    return letters.select(
        *_POSITION,
        pl.lit(topic).alias("topic"),
        "reason",
        "detail",
        withheld.originals(letters["value"]).alias("value"),
    )


def heartbeat_rows(marked: pl.DataFrame) -> pl.DataFrame:
    """Return a row of ``spotify_counters`` for each heartbeat."""
    return marked.filter(pl.col("kind") == Kind.HEARTBEAT).select(
        window_start=pl.lit(None, pl.Datetime("us", "UTC")),
        shard=pl.lit(None, pl.Int64),
        log_partition=pl.col("partition").cast(pl.Int64),
        log_offset=pl.col("offset"),
        counted=pl.lit(0, pl.Int64),
        duplicates=pl.lit(0, pl.Int64),
        heartbeats=pl.lit(1, pl.Int64),
        heartbeat_time=pl.col("event_time"),
    )


def counter_rows(counters: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of ``spotify_counters`` of closed windows."""
    return counters.select(
        "window_start",
        pl.col("slot").alias("shard"),
        "log_partition",
        pl.lit(None, pl.Int64).alias("log_offset"),
        "counted",
        "duplicates",
        pl.lit(0, pl.Int64).alias("heartbeats"),
        pl.lit(None, pl.Datetime("us", "UTC")).alias("heartbeat_time"),
    )


def closed_rows(until: datetime | None, written_at: datetime) -> pl.DataFrame:
    """Return the row of ``spotify_closed``; none where nothing is known to be written."""
    times = {"closed_until": until, "written_at": written_at}
    schema = dict.fromkeys(times, pl.Datetime("us", "UTC"))
    return pl.DataFrame([times] if until else [], schema=schema)


def stamped(rows: pl.DataFrame, written_at: datetime) -> pl.DataFrame:
    """Add the wall-clock column ``written_at``, which comparisons leave out."""
    return rows.with_columns(written_at=pl.lit(written_at, pl.Datetime("us", "UTC")))
