"""What the tables say of the log: the rows of some of its records, and the marks in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal

import polars as pl

from ...config.params import Params
from .clients import query


def where(
    places: Iterable[tuple[int, int]], relation: Literal["<", "<=", "=", ">", ">="] = "="
) -> str:
    """Return the condition of the rows that stand so to one of the places.

    Args:
        places: partition and offset; without one there are no such rows.
        relation: of ``log_offset`` to the offset, in the same partition.
    """
    each = [f"(log_partition = {p:d} AND log_offset {relation} {o:d})" for p, o in places]
    return f"({' OR '.join(each) or 'FALSE'})"


def marks(
    params: Params, offsets: Mapping[int, int], since: Mapping[int, int] | None = None
) -> dict[int, datetime | None]:
    """Return each partition's mark just before its offset: late events never move it.

    Args:
        params: whose tables.
        offsets: by partition.
        since: spares the reading of what comes before: a record of each partition that has a
            mark which moved it.
    """
    wanted = where(offsets.items(), "<")
    if since is not None:
        wanted += f" AND {where(since.items(), '>=')}"
    found = query(
        params,
        "SELECT log_partition, MAX(mark) AS mark FROM ("
        "SELECT log_partition, log_offset, event_time AS mark "
        "FROM `{dataset}.spotify_events_rows` UNION ALL "
        "SELECT log_partition, log_offset, heartbeat_time "
        "FROM `{dataset}.spotify_counters_rows` WHERE heartbeat_time IS NOT NULL) "
        f"WHERE {wanted} GROUP BY 1",
    )
    return dict.fromkeys(offsets) | dict(found.iter_rows())


def last_records(
    params: Params, offsets: Mapping[int, int], since: Mapping[int, int]
) -> dict[int, tuple[int, datetime]]:
    """Return the last event before each partition's offset (offset, append time), from ``since``.

    There is none of a partition that has no event there.
    """
    found = query(
        params,
        "SELECT log_partition, log_offset, append_time FROM `{dataset}.spotify_events_rows` "
        f"WHERE {where(offsets.items(), '<')} AND {where(since.items(), '>=')} "
        "QUALIFY ROW_NUMBER() OVER (PARTITION BY log_partition ORDER BY log_offset DESC) = 1",
    )
    return {partition: (offset, time) for partition, offset, time in found.iter_rows()}


def first_crossings(params: Params, needed: datetime) -> pl.DataFrame:
    """Return of each partition the first crossing into a window at or after ``needed``.

    Returns:
        ``CROSSING_SCHEMA``; none of a partition that has not come so far.
    """
    return query(params, _CROSSING.format(where="window_start >= @needed", order=""), needed=needed)


def last_crossings(params: Params, offsets: Mapping[int, int]) -> pl.DataFrame:
    """Return of each partition the last crossing at or before its offset (``CROSSING_SCHEMA``)."""
    before = where(offsets.items(), "<=")
    return query(params, _CROSSING.format(where=before, order="DESC"))


_CROSSING = (
    "SELECT window_start, log_partition, log_offset, mark "
    "FROM `{{dataset}}.spotify_crossings_rows` WHERE {where} "
    "QUALIFY ROW_NUMBER() OVER (PARTITION BY log_partition ORDER BY log_offset {order}) = 1"
)
