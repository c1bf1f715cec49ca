"""What a record is that is not an event: a heartbeat, or a dead letter and why."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from . import schema
from .contract import HEARTBEAT, fault_of_record
from .schema import EARLIEST_TIME, LATEST_TIME, MAX_DEPTH, Kind, Reason
from .times import parse_time
from .values import Fault
from .withheld import original, said

if TYPE_CHECKING:
    from ...config.sections import Windows

_TEXT_IN_JSON = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)


@dataclass(frozen=True)
class Ahead:
    """How far beyond its append time a record's time may be; what is further is a dead letter."""

    event: timedelta
    heartbeat: timedelta
    """A source's last heartbeat closes the window of an event that may be that far ahead."""

    @classmethod
    def of(cls, windows: Windows) -> Ahead:
        """Return what the params allow: for a heartbeat a window and its lateness more."""
        closing = windows.window + windows.allowed_lateness
        return cls(windows.clock_skew, windows.clock_skew + closing)


class Verdict(NamedTuple):
    """What a record is that is not an event."""

    kind: str
    time: datetime | None = None
    """Of a heartbeat."""
    reason: str | None = None
    detail: str | None = None


def examine(value: bytes | None, append_time: datetime, ahead: Ahead) -> Verdict | dict[str, Any]:
    """Say what a record is, or return its members where that depends on the columns of an event.

    Args:
        value: the record.
        append_time: when it was appended.
        ahead: how far beyond that its time may be.
    """
    content = _members(value)
    if isinstance(content, Fault):
        return dead(content)
    found = _envelope(content, append_time, ahead)
    if found is None:
        return content
    return dead(found) if isinstance(found, Fault) else found


def dead(fault: Fault) -> Verdict:
    """Return the verdict on a record that has a fault."""
    return Verdict(Kind.DEAD_LETTER.value, None, fault.reason.value, fault.detail)


def _members(value: bytes | None) -> dict[str, Any] | Fault:
    """Return the members of a record that is a JSON object."""
    if value is None or not value.strip():
        return Fault(Reason.EMPTY, "the record has no value")
    noted = said(value)
    if noted is not None:
        return Fault(*noted)
    value = original(value) or b""
    try:
        value.decode("utf-8")
    except UnicodeDecodeError as error:
        return Fault(Reason.NOT_UTF8, f"byte {error.start}: {error.reason}")
    if too_deep(value):
        return Fault(Reason.NOT_JSON, f"nested deeper than {MAX_DEPTH} levels")
    try:
        content = _parsed(value)
    except ValueError as error:
        return Fault(Reason.NOT_JSON, str(error))
    if not isinstance(content, dict):
        return Fault(Reason.WRONG_TYPE, f"expected an object, got {type(content).__name__}")
    return content


def _parsed(value: bytes) -> object:
    try:
        return msgspec.json.decode(value)
    except msgspec.ValidationError:  # it came to a number that is out of all range
        return json.loads(value, parse_int=_saturated)


def _saturated(digits: str) -> int:
    """Return an integer, or one beyond every limit: Python does not read thousands of digits."""
    return int(digits) if len(digits) < 40 else int(digits[0] + "9" * 39)


def _envelope(
    content: Mapping[str, Any], append_time: datetime, ahead: Ahead
) -> Verdict | Fault | None:
    """Return what a record is by what all records have, or what keeps it out of the columns."""
    if "schema_version" not in content:
        return Fault(Reason.MISSING_FIELD, "schema_version")
    version = content["schema_version"]
    if type(version) is not int:
        return Fault(Reason.WRONG_TYPE, "schema_version: expected an integer")
    if version not in schema.SCHEMA_VERSIONS:
        return Fault(Reason.UNSUPPORTED_SCHEMA_VERSION, f"schema_version {version}")
    if content.get("control") == HEARTBEAT:
        return _heartbeat(content.get("event_time"), append_time + ahead.heartbeat)
    return fault_of_record(content)


def _heartbeat(text: object, latest: datetime) -> Verdict | Fault:
    time = parse_time(text) if isinstance(text, str) else None
    if time is None:
        return Fault(Reason.WRONG_TYPE, "heartbeat without a valid event_time")
    if not EARLIEST_TIME <= time <= LATEST_TIME:
        return Fault(Reason.OUT_OF_RANGE, f"heartbeat of {time.isoformat()}")
    if time > latest:
        return Fault(Reason.FUTURE_HEARTBEAT, f"heartbeat of {time.isoformat()}")
    return Verdict(Kind.HEARTBEAT.value, time)


def opened(value: bytes) -> int:
    """Return how many objects and arrays begin, at the most."""
    return value.count(b"{") + value.count(b"[")


def too_deep(value: bytes) -> bool:
    """Tell whether more than ``MAX_DEPTH`` objects and arrays are open at once."""
    if opened(value) <= MAX_DEPTH:
        return False
    marks = np.frombuffer(_TEXT_IN_JSON.sub(b"", value), np.uint8)
    begun = np.isin(marks, (ord("{"), ord("["))).astype(np.int64)
    ended = np.isin(marks, (ord("}"), ord("]"))).astype(np.int64)
    return int((begun - ended).cumsum().max(initial=0)) > MAX_DEPTH
