"""What one record is, read with the standard library's JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from spotify_mlops.domain.events.schema import (
    COUNTRIES,
    EARLIEST_TIME,
    EVENT_TYPES,
    LATEST_TIME,
    MAX_COUNT,
    MAX_DEPTH,
    MAX_TEXT_BYTES,
)

from .rules import Rules

_REQUIRED = ("event_id", "event_time", "event_type", "country", "track_id", "source")
_NULLABLE = ("track_name", "artist_name", "artist_id", "album_name", "release_date")
_TEXTS = (*_REQUIRED, *_NULLABLE)
_TIME = re.compile(r"([0-9-]{10})[Tt ]([0-9:]{8})(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})")


class _Members(list):  # an object as its members in order, repeated names too
    pass


@dataclass(frozen=True)
class Verdict:
    """What a record is; ``reasons`` are all that apply to a dead letter."""

    kind: str
    reasons: frozenset[str] = frozenset()
    fields: Mapping[str, Any] | None = None
    time: datetime | None = None


def judge(value: bytes | None, append_time: datetime, rules: Rules) -> Verdict:
    """Read one record by the contract."""
    if value is None or not value.strip():
        return _dead("empty")
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return _dead("not_utf8")
    if _levels(text) > MAX_DEPTH:
        return _dead("not_json")
    try:
        content = json.loads(
            text, object_pairs_hook=_Members, parse_int=_integer, parse_constant=_no_constant
        )
        json.dumps(content, ensure_ascii=False).encode()  # half a surrogate pair is no character
    except (ValueError, UnicodeEncodeError):
        return _dead("not_json")
    if not isinstance(content, _Members):
        return _dead("wrong_type")
    fields = dict(content)
    if "schema_version" not in fields:
        return _dead("missing_field")
    if not _is_integer(fields["schema_version"]):
        return _dead("wrong_type")
    if fields["schema_version"] not in (1, 2):
        return _dead("unsupported_schema_version")
    if fields.get("control") == "heartbeat":
        time = _time(fields.get("event_time"))
        if time is None:
            return _dead("wrong_type")
        if not EARLIEST_TIME <= time <= LATEST_TIME:
            return _dead("out_of_range")
        if time > append_time + rules.clock_skew + rules.window + rules.lateness:
            return _dead("future_heartbeat")
        return Verdict("heartbeat", time=time)
    reasons = _complaints(content, fields, append_time + rules.clock_skew)
    if reasons:
        return _dead(*reasons)
    return Verdict("event", fields=fields, time=_time(fields["event_time"]))


def _dead(*reasons: str) -> Verdict:
    return Verdict("dead_letter", frozenset(reasons))


def _complaints(content: _Members, fields: dict[str, Any], latest: datetime) -> set[str]:
    found = {"missing_field" for name in _REQUIRED if fields.get(name) is None}
    for name, item in content:  # every occurrence of a field has its type, the last one counts
        text = isinstance(item, str)
        if (
            (name in _REQUIRED and not text)
            or (name == "schema_version" and not _is_integer(item))
            or (name == "count" and _whole(item) is None)
            or (name == "control" and item == "heartbeat")
        ):
            found.add("wrong_type")
        if name in _TEXTS and text and len(item.encode()) > MAX_TEXT_BYTES:
            found.add("out_of_range")
    time = _time(fields.get("event_time"))
    if time is None:
        found.add("wrong_type")
    elif time < EARLIEST_TIME:
        found.add("out_of_range")
    elif time > latest:
        found.add("future_event_time")
    if fields.get("event_type") not in EVENT_TYPES:
        found.add("unknown_event_type")
    if not isinstance(fields.get("country"), str) or fields["country"] not in COUNTRIES:
        found.add("unknown_country")
    if "" in (fields.get("event_id"), fields.get("track_id")):
        found.add("out_of_range")
    count = _whole(fields.get("count", 1))
    if count is not None and not 1 <= count <= MAX_COUNT:
        found.add("out_of_range")
    return found


def event_fields(fields: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the columns of an event but its time; all null for what is none."""
    names = (*_TEXTS, "count", "popularity")
    if fields is None:
        return {name: None for name in names if name != "event_time"}
    texts = {name: item for name, item in fields.items() if isinstance(item, str)}
    popularity = _whole(fields.get("popularity"))
    return {name: texts.get(name) for name in names if name != "event_time"} | {
        "count": _whole(fields.get("count", 1)),
        "release_date": _date(texts.get("release_date", "")),
        "popularity": popularity if popularity is not None and 0 <= popularity <= 100 else None,
    }


def _levels(text: str) -> int:
    level = deepest = 0
    quoted = escaped = False
    for char in text:
        if quoted:
            quoted = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == '"':
            quoted = True
        elif char in "[{":
            level += 1
            deepest = max(deepest, level)
        elif char in "]}":
            level -= 1
    return deepest


def _integer(digits: str) -> int:
    return int(digits[:100])  # Python refuses thousands of digits; beyond every limit either way


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _is_integer(item: object) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)


def _whole(item: object) -> int | None:
    if isinstance(item, float) and item.is_integer():
        return int(item)
    return item if _is_integer(item) else None


def _time(text: object) -> datetime | None:
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    day, clock, fraction, zone = match.groups()
    leap = clock.endswith("60")
    clock = clock[:6] + "59" if leap else clock
    try:
        local = datetime.strptime(f"{day}T{clock}", "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
        ahead = timedelta(0)
        if zone not in "Zz":
            hours, minutes = int(zone[1:3]), int(zone[4:6])
            if hours > 23 or minutes > 59:
                return None
            ahead = timedelta(hours=hours, minutes=minutes) * (1 if zone[0] == "+" else -1)
    except ValueError:
        return None
    part = timedelta(microseconds=int((fraction or ".0")[1:7].ljust(6, "0")))
    try:
        time = local + part - ahead + timedelta(seconds=leap)
    except OverflowError:
        return (datetime.min if ahead > timedelta(0) else datetime.max).replace(tzinfo=UTC)
    if leap and time - part != time.replace(day=1, hour=0, minute=0, second=0, microsecond=0):
        return None
    return time


def _date(text: str) -> date | None:
    if not re.fullmatch(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?", text):
        return None
    try:
        return date(*(int(part) for part in (text + "-01-01")[:10].split("-")))
    except ValueError:
        return None
