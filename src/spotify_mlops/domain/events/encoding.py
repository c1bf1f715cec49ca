"""Events and heartbeats to the records of the log."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import repeat
from typing import Any

import msgspec
import polars as pl

from .contract import EVENT_COLUMNS, HEARTBEAT
from .schema import SCHEMA_VERSION
from .times import SIX_DIGITS

_Event: Any = msgspec.defstruct(
    "_Event",
    [("schema_version", int | None, None), *((name, Any, None) for name in EVENT_COLUMNS)],
    omit_defaults=True,
    gc=False,
)
"""An event as it is written: what is null is left out."""


def encode(events: pl.DataFrame) -> list[bytes]:
    """Write events (``EVENT_COLUMNS``; nulls are left out) as JSON records, one a row."""
    columns: list[Iterable[Any]] = []
    for name in EVENT_COLUMNS:
        if name not in events.columns or events[name].null_count() == events.height:
            columns.append(repeat(None))
        elif name == "event_time":
            columns.append(events[name].dt.strftime(SIX_DIGITS).to_list())
        else:
            columns.append(events[name].to_list())
    rows = map(_Event, repeat(SCHEMA_VERSION, events.height), *columns)
    return list(map(msgspec.json.Encoder().encode, rows))


def encode_heartbeat(event_time: datetime) -> bytes:
    """Write the control record that says: event time here is at least ``event_time``.

    >>> encode_heartbeat(datetime(2026, 1, 5, tzinfo=UTC)).decode()
    '{"schema_version":1,"control":"heartbeat","event_time":"2026-01-05T00:00:00Z"}'
    """
    return msgspec.json.encode(
        {
            "schema_version": SCHEMA_VERSION,
            "control": HEARTBEAT,
            "event_time": event_time.astimezone(UTC),
        }
    )
