"""Events and heartbeats to the records of the log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import polars as pl

from .contract import EVENT_COLUMNS, HEARTBEAT
from .schema import SCHEMA_VERSION
from .times import SIX_DIGITS

_ESCAPED = r'["\\\x00-\x1f]'
"""The characters that a JSON text has not as they are."""


def encode(events: pl.DataFrame) -> pl.Series:
    """Write events (``EVENT_COLUMNS``; nulls are left out) as JSON records: Binary, one a row."""
    parts: list[pl.Expr | pl.Series] = [pl.lit(f'{{"schema_version":{SCHEMA_VERSION}')]
    for name in EVENT_COLUMNS:
        if name in events.columns:
            parts += _member(events[name])
    record = pl.concat_str(*parts, pl.lit("}"), ignore_nulls=True).cast(pl.Binary)
    return events.with_columns(record.alias("value"))["value"]


def _member(values: pl.Series) -> Iterator[pl.Expr | pl.Series]:
    """Yield what one after another writes a member of each record: null where the value is."""
    if values.null_count() == values.len():
        return
    quote = "" if values.dtype.is_integer() else '"'
    around = pl.lit(f',"{values.name}":{quote}'), _written(values), pl.lit(quote)
    if values.has_nulls():
        yield pl.concat_str(*around)
    else:
        yield from around


def _written(values: pl.Series) -> pl.Series:
    if values.dtype == pl.String:
        special = values.str.contains(_ESCAPED).arg_true()
        if special.is_empty():
            return values
        texts = [msgspec.json.encode(text)[1:-1].decode() for text in values.gather(special)]
        return values.scatter(special, texts)
    if isinstance(values.dtype, pl.Datetime):
        return values.dt.strftime(SIX_DIGITS)
    return values.cast(pl.String)


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
