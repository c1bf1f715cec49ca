"""Records that cannot become events, one way for each reason: what the simulator injects."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ..domain.events import Reason


def corrupt(record: bytes, reason: Reason) -> bytes | None:
    """Return the JSON record of a valid event spoilt so that ``reason`` is why it is refused.

    None is a record without a value.
    """
    return _WAYS[reason](record)


def _with(**changes: Any) -> Callable[[bytes], bytes]:
    def change(record: bytes) -> bytes:
        return json.dumps(json.loads(record) | changes, ensure_ascii=False).encode()

    return change


def _without(name: str) -> Callable[[bytes], bytes]:
    def change(record: bytes) -> bytes:
        content = json.loads(record)
        del content[name]
        return json.dumps(content, ensure_ascii=False).encode()

    return change


_WAYS: dict[Reason, Callable[[bytes], bytes | None]] = {
    Reason.EMPTY: lambda record: None,
    Reason.NOT_UTF8: lambda record: record.replace(b'"event_id":"', b'"event_id":"\xff\xfe', 1),
    Reason.NOT_JSON: lambda record: record[: len(record) // 2],
    Reason.MISSING_FIELD: _without("track_id"),
    Reason.WRONG_TYPE: _with(count="tres"),
    Reason.OUT_OF_RANGE: _with(count=-1),
    Reason.UNKNOWN_COUNTRY: _with(country="ZZ"),
    Reason.UNKNOWN_EVENT_TYPE: _with(event_type="dance"),
    Reason.FUTURE_EVENT_TIME: _with(event_time="2999-01-01T00:00:00Z"),
    Reason.UNSUPPORTED_SCHEMA_VERSION: _with(schema_version=99),
}

REASONS = tuple(_WAYS)
"""In the order in which the simulator numbers them: every reason that a record can be given."""
