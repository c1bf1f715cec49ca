"""Records that are meant badly: what each of them is by the contract."""

from __future__ import annotations

import json
from typing import Any

GOOD: dict[str, Any] = {
    "schema_version": 1,
    "event_id": "a",
    "event_time": "2026-01-05T10:00:00Z",
    "event_type": "play",
    "country": "CO",
    "track_id": "t",
    "source": "test",
}


def changed(**fields: object) -> bytes:
    return json.dumps(GOOD | fields).encode()


def with_field(text: bytes) -> bytes:
    """Return a good event with one more member, written as it is."""
    return changed()[:-1] + b", " + text + b"}"


def with_text(name: str, text: bytes) -> bytes:
    """Return a good event with a field's value written as it is."""
    return changed(**{name: "@"}).replace(b'"@"', text)


def without(name: str) -> bytes:
    return json.dumps({k: v for k, v in GOOD.items() if k != name}).encode()


BAD = [
    (None, "empty"),
    (b"", "empty"),
    (b"  \n", "empty"),
    (b'{"a": "\xff"}', "not_utf8"),
    (b"\xff\xfe{", "not_utf8"),
    (b'1e999{"a": 1}', "not_json"),
    (changed()[:-1] + b', "mood": "\xff"}', "not_utf8"),
    (changed()[:-1] + b', "nested": {"\xc3": 1}}', "not_utf8"),
    (changed()[:-1] + b', "surrogate": "\xed\xa0\x80"}', "not_utf8"),
    (b"{", "not_json"),
    (b'{"schema_version": 1,}', "not_json"),
    (changed(count=1)[:-3], "not_json"),
    (b'{"schema_version": NaN}', "not_json"),
    (b"[" * 100_000, "not_json"),
    (b"[]", "wrong_type"),
    (b'"play"', "wrong_type"),
    (b"null", "wrong_type"),
    (b"{}", "missing_field"),
    (without("country"), "missing_field"),
    (changed(country=None), "missing_field"),
    (changed(track_id=None), "missing_field"),
    (without("event_id"), "missing_field"),
    (changed(track_id=5), "wrong_type"),
    (changed(count="3"), "wrong_type"),
    (changed(count=1.5), "wrong_type"),
    (changed(count=True), "wrong_type"),
    (changed(event_time="yesterday"), "wrong_type"),
    (changed(event_time="2026-01-05T10:00:00"), "wrong_type"),
    (changed(event_time="2026-02-30T10:00:00Z"), "wrong_type"),
    (changed(count=0), "out_of_range"),
    (changed(count=-1), "out_of_range"),
    (changed(count=10**30), "out_of_range"),
    (changed(event_id=""), "out_of_range"),
    (changed(track_id=""), "out_of_range"),
    (changed(country="XX"), "unknown_country"),
    (changed(country="co"), "unknown_country"),
    (changed(event_type="dance"), "unknown_event_type"),
    (changed(event_time="2036-01-05T10:00:00Z"), "future_event_time"),
    (changed(schema_version=0), "unsupported_schema_version"),
    (changed(schema_version=3), "unsupported_schema_version"),
    (changed(schema_version=10**30), "unsupported_schema_version"),
    (changed(schema_version="1"), "wrong_type"),
    (changed(control="heartbeat", event_time="never"), "wrong_type"),
    (changed(control="heartbeat", event_time="0001-01-01T00:00:00Z"), "out_of_range"),
    (changed(control="heartbeat", event_time="9999-12-31T23:59:59Z"), "out_of_range"),
    (changed(control="heartbeat", event_time="9000-01-01T00:00:00Z"), "future_heartbeat"),
    (changed(control="heartbeat", event_time="2099-01-01T00:00:00Z"), "future_heartbeat"),
    (changed(event_time="2099-01-01T00:00:00Z"), "future_event_time"),
    # Nesting: in an unknown field, in place of everything, closed or not.
    (with_field(b'"x":' + b"[" * 100 + b"]" * 100), "not_json"),
    (with_field(b'"x":' + b"[" * 50_000 + b"]" * 50_000), "not_json"),
    (with_field(b'"x":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000), "not_json"),
    (b"[" * 5000 + b"]" * 5000, "not_json"),
    # Numbers
    (with_text("count", b"1" * 5000), "out_of_range"),
    (with_text("count", b"-" + b"1" * 5000), "out_of_range"),
    (with_text("count", b"9223372036854775808"), "out_of_range"),
    (with_text("count", b"1e999"), "wrong_type"),
    (with_text("count", b"NaN"), "not_json"),
    (with_text("count", b"01"), "not_json"),
    (with_text("popularity", b"-Infinity"), "not_json"),
    (with_text("schema_version", b"1" * 5000), "unsupported_schema_version"),
    (with_text("schema_version", b"1.0"), "wrong_type"),
    (with_text("schema_version", b"true"), "wrong_type"),
    (with_field(b'"x": NaN'), "not_json"),
    (with_field(b'"x": 1e999, "country": "XX"'), "unknown_country"),
    # Text
    (with_text("track_name", b'"\\ud800"'), "not_json"),
    (with_text("track_id", b'"\\udc00x"'), "not_json"),
    (with_field(b'"x": "\\ud800"'), "not_json"),
    (with_text("track_name", b'"\xed\xa0\x80"'), "not_utf8"),
    (with_text("track_name", b'"\x00"'), "not_json"),
    (with_field(b'"x": "\n"'), "not_json"),
    (b"\xef\xbb\xbf" + changed(), "not_json"),
    (changed().decode().encode("utf-16"), "not_utf8"),
    (changed() + b"\x00", "not_json"),
    (changed() + changed(), "not_json"),
    # A repeated field: the last one counts, but every one is of its type.
    (b'{"count": "x", ' + changed(count=1)[1:], "wrong_type"),
    (with_field(b'"country": 5'), "wrong_type"),
    (with_field(b'"country": null'), "missing_field"),
    (changed(track_name="x" * 65_537), "out_of_range"),
    (changed(track_id="\xf1" * 40_000), "out_of_range"),
    # Times and dates
    (changed(event_time="0000-01-01T00:00:00Z"), "wrong_type"),
    (changed(event_time="0001-01-01T00:00:00Z"), "out_of_range"),
    (changed(event_time="0001-01-01T00:00:00+05:00"), "out_of_range"),
    (changed(event_time="1899-12-31T23:59:59Z"), "out_of_range"),
    (changed(event_time="9999-12-31T23:59:59-05:00"), "future_event_time"),
    (changed(event_time="10000-01-01T00:00:00Z"), "wrong_type"),
    (changed(event_time="2016-12-31T24:00:00Z"), "wrong_type"),
    (changed(event_time="2016-12-31T23:59:61Z"), "wrong_type"),
    (changed(event_time="2016-12-30T23:59:60Z"), "wrong_type"),
    (changed(event_time="2016-12-31T23:00:00.Z"), "wrong_type"),
    (changed(event_time="2016-12-31T23:00:00Z\n"), "wrong_type"),
    (changed(event_time="2016-12-31T23:00:00+24:00"), "wrong_type"),
    (changed(event_time="\u0662\u0660\u0662\u0666-01-05T10:00:00Z"), "wrong_type"),
]
"""Records that cannot be events, and why."""

ODD = [
    with_field(b'"x": 1e999'),
    with_field(b'"x": ' + b"1" * 5000),
    with_field(b'"x": ' + b"[" * 99 + b"]" * 99),
    with_field(b'"x": "' + b"[{" * 5000 + b'\\""'),
    with_field(b'"x": [' + b"{}," * 500 + b"null]"),
    with_field(b'"$set": {"a.b": {"": null}}, "a\\u0000b": 1, "_id": [5]'),
    with_field(b'"control": "stop"'),
    with_field(b'"control": ["heartbeat"]'),
    with_field(b'"source": "test"'),
    changed(track_name="x" * 65_536),
    with_field(b'"x": "' + b"y" * 3_000_000 + b'"'),
    changed(track_id="a\x00b\n\u2028\U0001f600"),
    with_text("track_name", b'"\\ud83d\\ude00"'),
    changed(release_date="0001", track_name=""),
    changed(release_date="9999-12-31", popularity=100, count=10**12),
    # Optional, and unreadable: null. A whole number may be written with decimals.
    changed(track_name=["x"]),
    changed(popularity="high"),
    changed(release_date="2020-13"),
    changed(release_date="soon"),
    changed(popularity=101),
    changed(popularity=-1),
    changed(popularity=10**30),
    with_text("count", b"3.0"),
    with_text("popularity", b"1" * 5000),
    with_text("popularity", b"true"),
    changed(release_date="0000"),
    changed(release_date="0000-01-01"),
    changed(release_date="10000"),
    changed(release_date="2021-02-29"),
    changed(release_date=""),
]
"""Records that are odd, and events all the same."""
