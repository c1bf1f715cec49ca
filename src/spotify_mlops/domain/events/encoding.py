"""Events and heartbeats to the records of the log."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import polars as pl

from .contract import EVENT_COLUMNS, HEARTBEAT
from .schema import SCHEMA_VERSION
from .times import SIX_DIGITS


def encode(events: pl.DataFrame) -> list[bytes]:
    """Write events (``EVENT_COLUMNS``; nulls are left out) as JSON records, one a row."""
    columns = {name: events[name].to_list() for name in EVENT_COLUMNS if name in events.columns}
    columns["event_time"] = events["event_time"].dt.strftime(SIX_DIGITS).to_list()
    names = tuple(columns)
    write = msgspec.json.Encoder().encode
    return [
        write(
            {"schema_version": SCHEMA_VERSION}
            | {name: value for name, value in zip(names, row, strict=True) if value is not None}
        )
        for row in zip(*columns.values(), strict=True)
    ]


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
