"""What the tables say of the log: the rows of some of its records, and the marks in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal

from ...config.params import Params
from .clients import query


def where(places: Iterable[tuple[int, int]], relation: Literal["<", "=", ">", ">="] = "=") -> str:
    """Return the condition of the rows that stand so to one of the places.

    Args:
        places: partition and offset; without one there are no such rows.
        relation: of ``log_offset`` to the offset, in the same partition.
    """
    each = [f"(log_partition = {p:d} AND log_offset {relation} {o:d})" for p, o in places]
    return f"({' OR '.join(each) or 'FALSE'})"


def marks(params: Params, offsets: Mapping[int, int]) -> dict[int, datetime | None]:
    """Return each partition's mark just before its offset: late events never move it."""
    found = query(
        params,
        "SELECT log_partition, MAX(mark) AS mark FROM ("
        "SELECT log_partition, log_offset, event_time AS mark "
        "FROM `{dataset}.spotify_events_rows` UNION ALL "
        "SELECT log_partition, log_offset, heartbeat_time "
        "FROM `{dataset}.spotify_counters_rows` WHERE heartbeat_time IS NOT NULL) "
        f"WHERE {where(offsets.items(), '<')} GROUP BY 1",
    )
    return dict.fromkeys(offsets) | dict(found.iter_rows())
