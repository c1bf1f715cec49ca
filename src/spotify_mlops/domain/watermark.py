"""Marks, watermark and lateness: functions of the log alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import polars as pl

from .events import Kind
from .events.schema import UTC_MICROSECONDS

Marks = Mapping[int, datetime | None]
"""Per partition, the highest event time or heartbeat read so far, in offset order."""


def mark(
    decoded: pl.DataFrame, marks: Marks, allowed_lateness: timedelta
) -> tuple[pl.DataFrame, dict[int, datetime | None]]:
    """Say which events are late, and move the marks.

    Args:
        decoded: what ``events.decode`` gives, in offset order within each partition.
        marks: of all partitions, as they were before the batch.
        allowed_lateness: an event older than its partition's mark less this is late.

    Returns:
        The batch with the columns ``late`` (false for what is not an event) and ``mark`` (of its
        partition, before the record), and the marks after it. Dead letters never move a mark.
    """
    if decoded.is_empty():
        nothing = pl.lit(None, UTC_MICROSECONDS)
        return decoded.with_columns(mark=nothing, late=pl.lit(False)), dict(marks)
    before = pl.DataFrame(
        {"partition": list(marks), "_start": list(marks.values())},
        schema={"partition": pl.Int32, "_start": UTC_MICROSECONDS},
    )
    time = pl.when(pl.col("kind") != Kind.DEAD_LETTER).then("event_time")
    running = time.cum_max().forward_fill().over("partition")
    marked = (
        decoded.join(before, on="partition", how="left", maintain_order="left")
        .with_columns(_after=pl.max_horizontal(running, "_start"))
        .with_columns(
            mark=pl.coalesce(pl.col("_after").shift(1).over("partition"), pl.col("_start"))
        )
        .with_columns(
            late=(
                (pl.col("kind") == Kind.EVENT)
                & (pl.col("event_time") < pl.col("mark") - allowed_lateness)
            ).fill_null(False)
        )
    )
    after = marked.group_by("partition").agg(pl.col("_after").last())
    moved = dict(marks) | dict(after.iter_rows())
    return marked.drop("_start", "_after"), moved


def watermark(marks: Marks, allowed_lateness: timedelta) -> datetime | None:
    """Return the minimum of the marks less ``allowed_lateness``; None while one has no mark."""
    if not marks or any(value is None for value in marks.values()):
        return None
    return min(value for value in marks.values() if value is not None) - allowed_lateness


def rows_until(
    marked: pl.DataFrame, before: Marks, allowed_lateness: timedelta, limit: datetime
) -> int:
    """Return how many rows there are up to the one with which the watermark reaches ``limit``.

    Args:
        marked: what ``mark`` gives.
        before: the marks that it was given.
        allowed_lateness: as there.
        limit: a watermark. When it is not reached the answer is all rows.
    """
    time = pl.when(pl.col("kind") != Kind.DEAD_LETTER).then("event_time")
    reached = (
        pl.when(pl.col("partition") == partition)
        .then(pl.max_horizontal("mark", time))
        .forward_fill()
        .fill_null(pl.lit(start, UTC_MICROSECONDS))
        >= limit + allowed_lateness
        for partition, start in before.items()
    )
    rows = marked.select(pl.all_horizontal(reached).fill_null(False)).to_series().arg_true()
    return marked.height if rows.is_empty() else int(rows[0]) + 1
