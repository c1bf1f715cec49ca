"""Where each partition of the log reaches a window: from there the window can be read again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from ..domain.events import Kind
from ..domain.windows import Windowing


def crossings(marked: pl.DataFrame, windowing: Windowing) -> pl.DataFrame:
    """Return the records with which a partition's mark moves into a later window.

    Whatever is in time in that window or a later one stands at such a record or after it: an
    event moves its partition's mark to its own time at least. With the mark before it, reading
    can begin there, and what is late comes out the same.

    Args:
        marked: what ``watermark.mark`` gives.
        windowing: of the windows.

    Returns:
        ``CROSSING_SCHEMA``, a row a partition and window. Of windows that it skips there is none.
    """
    moving = marked.filter(
        (pl.col("kind") != Kind.DEAD_LETTER)
        & (pl.col("event_time") > pl.col("mark")).fill_null(True)
    ).with_columns(window_start=windowing.start_expr("event_time"))
    before = windowing.start_expr("mark")
    return moving.filter((pl.col("window_start") > before).fill_null(True)).select(
        "window_start",
        log_partition=pl.col("partition").cast(pl.Int64),
        log_offset="offset",
        mark="mark",
    )


def places(
    reaching: pl.DataFrame, held: Mapping[int, int], before_held: pl.DataFrame
) -> tuple[dict[int, int], dict[int, datetime | None]]:
    """Return where to begin to read a window again, and the marks there.

    Args:
        reaching: of each partition that has one, the first crossing into the window or a later
            one (``CROSSING_SCHEMA``).
        held: per partition, the records below this are in the raw stores: what follows is read in
            any case.
        before_held: of each partition that has one, the last crossing at or before ``held``.
    """
    first, last = _by_partition(reaching), _by_partition(before_held)
    begin: dict[int, tuple[int, datetime | None]] = {}
    for partition, following in held.items():
        # A partition without a crossing has had nothing but dead letters, which set no mark.
        begin[partition] = last.get(partition, (following, None))
        if partition in first and first[partition][0] <= following:
            begin[partition] = first[partition]
    return {p: o for p, (o, _) in begin.items()}, {p: m for p, (_, m) in begin.items()}


def _by_partition(rows: pl.DataFrame) -> dict[int, tuple[int, datetime | None]]:
    columns = rows.select("log_partition", "log_offset", "mark")
    return {partition: (offset, mark) for partition, offset, mark in columns.iter_rows()}
