"""Frames of the pipeline to rows of the BigQuery tables. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import polars as pl

from ...config.sections import Windows
from ...domain import schemas
from ...domain.events import Kind, withheld
from ...domain.windows import Windowing
from ...io.bigquery import tables
from ...io.bigquery.tables import Table
from ..crossings import crossings

_POSITION = (
    pl.col("partition").cast(pl.Int64).alias("log_partition"),
    pl.col("offset").alias("log_offset"),
    pl.col("append_time"),
)


def event_rows(marked: pl.DataFrame, windowing: Windowing) -> pl.DataFrame:
    """Return a row of ``spotify_events`` for each event, late ones and duplicates too."""
    events = marked.filter(pl.col("kind") == Kind.EVENT).with_columns(
        *_POSITION, window_start=windowing.start_expr("event_time")
    )
    return events.select(*schemas.EVENT_SCHEMA)


def dead_letter_rows(marked: pl.DataFrame, topic: str) -> pl.DataFrame:
    """Return a row of ``spotify_dead_letters`` for each record that is no event.

    It is whole, but for a record that the reader did not take in: its detail says what it was.
    """
    dead_letters = marked.filter(pl.col("kind") == Kind.DEAD_LETTER)
    return dead_letters.select(
        *_POSITION,
        pl.lit(topic).alias("topic"),
        "reason",
        "detail",
        withheld.originals(dead_letters["value"]).alias("value"),
    )


def heartbeat_rows(marked: pl.DataFrame) -> pl.DataFrame:
    """Return a row of ``spotify_counters`` for each heartbeat."""
    return marked.filter(pl.col("kind") == Kind.HEARTBEAT).select(
        *_POSITION[:2],
        counted=pl.lit(0, pl.Int64),
        duplicates=pl.lit(0, pl.Int64),
        heartbeats=pl.lit(1, pl.Int64),
        heartbeat_time=pl.col("event_time"),
    )


def counter_rows(counters: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of ``spotify_counters`` of closed windows."""
    return counters.with_columns(heartbeats=pl.lit(0, pl.Int64))


def closed_rows(until: datetime | None, written_at: datetime) -> pl.DataFrame:
    """Return the row of ``spotify_closed``; none where nothing is known to be written."""
    rows = [(until, written_at)] if until else []
    return pl.DataFrame(rows, schema=schemas.CLOSED_SCHEMA, orient="row")


def written_rows(
    job: str, starts: Sequence[datetime], shards: Sequence[int], of: int, written_at: datetime
) -> pl.DataFrame:
    """Return the rows of ``spotify_written`` of windows, each of a shard, of so many."""
    written = [(job, *window, of, written_at) for window in zip(starts, shards, strict=True)]
    return pl.DataFrame(written, schema=schemas.WRITTEN_WINDOW_SCHEMA, orient="row")


def stamped(rows: pl.DataFrame, written_at: datetime) -> pl.DataFrame:
    """Add the wall-clock column ``written_at``, which comparisons leave out."""
    return rows.with_columns(written_at=pl.lit(written_at, schemas.WRITTEN_SCHEMA["written_at"]))


@dataclass(frozen=True)
class RecordRows:
    """What one table has of the records of the log.

    Attributes:
        name: of the sink that writes it.
        table: which one.
        of: the rows of a marked batch.
    """

    name: str
    table: Table
    of: Callable[[pl.DataFrame], pl.DataFrame]


def of_records(windows: Windows) -> tuple[RecordRows, ...]:
    """Return what every run writes of the records; dead letters go to their topic too."""
    windowing = Windowing.of(windows)
    return (
        RecordRows("Events", tables.EVENTS, partial(event_rows, windowing=windowing)),
        RecordRows("Heartbeats", tables.COUNTERS, heartbeat_rows),
        RecordRows("Crossings", tables.CROSSINGS, partial(crossings, windowing=windowing)),
    )
