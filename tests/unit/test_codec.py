"""Decoding and validation: every reason, hostile input, and the way back."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import APPENDED, BASE, random_events, to_log

from spotify_mlops.events import (
    DUPLICATE_KEY,
    EVENT_COLUMNS,
    SCHEMA_VERSIONS,
    codec,
    decode,
    encode,
    encode_heartbeat,
)

SKEW = timedelta(days=1)
GOOD: dict[str, Any] = {
    "schema_version": 1,
    "event_id": "a",
    "event_time": "2026-01-05T10:00:00Z",
    "event_type": "play",
    "country": "CO",
    "track_id": "t",
    "source": "test",
}


def decoded(*values: bytes | None) -> pl.DataFrame:
    return decode(to_log(list(values), [0] * len(values), None, 1), SKEW)  # type: ignore[arg-type]


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
    (changed(track_name=["x"]), "wrong_type"),
    (changed(count="3"), "wrong_type"),
    (changed(count=1.5), "wrong_type"),
    (changed(count=True), "wrong_type"),
    (changed(popularity="high"), "wrong_type"),
    (changed(event_time="yesterday"), "wrong_type"),
    (changed(event_time="2026-01-05T10:00:00"), "wrong_type"),
    (changed(event_time="2026-02-30T10:00:00Z"), "wrong_type"),
    (changed(release_date="2020-13"), "wrong_type"),
    (changed(release_date="soon"), "wrong_type"),
    (changed(count=0), "out_of_range"),
    (changed(count=-1), "out_of_range"),
    (changed(count=10**30), "out_of_range"),
    (changed(popularity=101), "out_of_range"),
    (changed(popularity=-1), "out_of_range"),
    (changed(popularity=10**30), "out_of_range"),
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
    (with_text("count", b"3.0"), "wrong_type"),
    (with_text("count", b"NaN"), "not_json"),
    (with_text("count", b"01"), "not_json"),
    (with_text("popularity", b"1" * 5000), "out_of_range"),
    (with_text("popularity", b"true"), "wrong_type"),
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
    (changed(release_date="0000"), "wrong_type"),
    (changed(release_date="0000-01-01"), "wrong_type"),
    (changed(release_date="10000"), "wrong_type"),
    (changed(release_date="2021-02-29"), "wrong_type"),
    (changed(release_date=""), "wrong_type"),
]


@pytest.mark.parametrize(("value", "reason"), BAD, ids=[f"{r}-{i}" for i, (_, r) in enumerate(BAD)])
def test_a_bad_record_has_its_reason_and_leaves_its_neighbours_alone(
    value: bytes | None, reason: str
) -> None:
    frame = decoded(changed(), value, changed(event_id="b"))
    assert frame["kind"].to_list() == ["event", "dead_letter", "event"]
    assert frame["reason"].to_list() == [None, reason, None]
    assert frame["event_id"].to_list() == ["a", None, "b"]
    assert frame["value"].to_list()[1] == value
    assert frame["detail"][1]


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2026-01-05T10:00:00Z", 10),
        ("2026-01-05t10:00:00z", 10),
        ("2026-01-05 10:00:00.123456789Z", 10),
        ("2026-01-05T10:00:00+02:00", 8),
        ("2026-01-05T10:00:00.5-05:00", 15),
        ("2026-01-05T10:00:00.9999999999999Z", 10),
        ("2026-01-05T10:00:00-00:00", 10),
        ("2016-12-31T23:59:60Z", 0),
        ("2016-12-31T23:59:60.5Z", 0),
        ("2016-12-31T18:59:60-05:00", 0),
        ("1900-01-01T07:00:00Z", 7),
    ],
)
def test_event_times_are_read_as_utc(text: str, hour: int) -> None:
    frame = decoded(changed(event_time=text), changed(event_time="2026-01-05T11:00:00.250Z"))
    assert frame["kind"].to_list() == ["event"] * 2
    assert frame["event_time"].dt.hour().to_list() == [hour, 11]


def test_a_release_date_may_be_a_year_or_a_month() -> None:
    frame = decoded(*(changed(release_date=text) for text in ("2020", "2020-05", "2020-05-06")))
    assert [str(day) for day in frame["release_date"]] == ["2020-01-01", "2020-05-01", "2020-05-06"]


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
    changed(track_name="x" * 3_000_000),
    changed(track_id="a\x00b\n\u2028\U0001f600"),
    with_text("track_name", b'"\\ud83d\\ude00"'),
    changed(release_date="0001", track_name=""),
    changed(release_date="9999-12-31", popularity=100, count=10**12),
]


@pytest.mark.parametrize("value", ODD, ids=range(len(ODD)))
def test_what_is_odd_and_sound_is_an_event(value: bytes) -> None:
    frame = decoded(changed(), value, changed(event_id="b"))
    assert frame["kind"].to_list() == ["event"] * 3
    assert frame["event_id"].to_list() == ["a", "a", "b"]
    assert frame.rows()  # Python can hold every value


def test_a_heartbeat_vouches_for_a_time() -> None:
    frame = decoded(encode_heartbeat(BASE), changed(), changed(control="heartbeat"))
    assert frame["kind"].to_list() == ["heartbeat", "event", "heartbeat"]
    assert frame["event_time"][0] == BASE


def test_unknown_fields_are_ignored_and_missing_ones_are_null() -> None:
    frame = decoded(changed(mood="happy", nested={"a": [1]}))
    assert frame["kind"].to_list() == ["event"]
    assert frame["count"].to_list() == [1]
    assert frame["popularity"].to_list() == [None]


def test_a_version_that_adds_fields_is_read_as_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = {"mood": "happy", "device": {"kind": "car"}}
    versions = [changed(), changed(schema_version=2, **newer), changed(schema_version=3, **newer)]
    frame = decoded(*versions)
    assert frame["kind"].to_list() == ["event", "event", "dead_letter"]
    assert frame[1].select(*EVENT_COLUMNS).equals(frame[0].select(*EVENT_COLUMNS))
    assert frame["detail"][2] == "schema_version 3"
    monkeypatch.setattr(codec, "SCHEMA_VERSIONS", (*SCHEMA_VERSIONS, 3))
    assert decoded(*versions)["kind"].to_list() == ["event"] * 3


def test_a_heartbeat_of_a_newer_version_is_one() -> None:
    beats = [{"schema_version": v, "control": "heartbeat", "event_time": BASE} for v in (2, 3)]
    frame = decoded(*(json.dumps(beat, default=str).encode() for beat in beats))
    assert frame["kind"].to_list() == ["heartbeat", "dead_letter"]


def test_events_come_back_as_they_were() -> None:
    events = random_events(500, 3600, seed=5)
    frame = decode(to_log(encode(events), [0] * 500, None, 1), SKEW)
    assert frame.select(events.columns).equals(events)
    assert frame.select(DUPLICATE_KEY).n_unique() == 500


@pytest.mark.parametrize("error", [ValueError, pl.exceptions.PanicException, ZeroDivisionError])
def test_a_poison_record_is_found_and_stops_nothing(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [changed(event_id=f"e{number}") for number in range(50)]
    values[17] = changed(event_id="poison")
    values[40] = b"{"
    good = [number for number in range(50) if number not in (17, 40)]
    expected = decoded(*values)
    real = codec._parse_times

    def raising(text: pl.Series) -> pl.Series:
        if any(b"poison" in value for value in batch["value"].to_list()):
            raise error("no\nway")
        return real(text)

    def decode_batch(part: pl.DataFrame, skew: timedelta) -> pl.DataFrame:
        nonlocal batch
        batch = part
        return whole(part, skew)

    whole, batch = codec._decode, expected.clear()
    monkeypatch.setattr(codec, "_decode", decode_batch)
    monkeypatch.setattr(codec, "_parse_times", raising)
    frame = decoded(*values)
    assert frame[good].equals(expected[good])
    assert frame[40].equals(expected[40])
    assert frame.row(17, named=True)["reason"] == "poison"
    assert frame.row(17, named=True)["detail"] == f"{error.__name__}: no way"
    assert frame["value"].to_list() == values
    assert frame["event_id"][17] is None
    assert frame.schema == expected.schema


@pytest.mark.parametrize("error", [ValueError, MemoryError, OSError])
def test_when_good_records_raise_no_record_is_blamed(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def raising(text: pl.Series) -> pl.Series:
        raise error("the code is broken")

    monkeypatch.setattr(codec, "_parse_times", raising)
    with pytest.raises(error, match="broken"):
        decoded(changed(), changed())


@given(
    st.lists(st.one_of(st.none(), st.binary(max_size=60), st.text().map(str.encode)), max_size=8)
)
def test_whatever_comes_every_record_comes_out(values: list[bytes | None]) -> None:
    frame = decoded(changed(), *values)
    assert frame.height == len(values) + 1
    assert frame["kind"][0] == "event"
    assert frame["offset"].to_list() == list(range(len(values) + 1))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(
    st.dictionaries(st.sampled_from([*GOOD, "count", "popularity", "release_date"]), json_values)
)
def test_any_value_in_any_field_is_an_event_or_a_dead_letter(fields: dict[str, Any]) -> None:
    frame = decoded(json.dumps(GOOD | fields).encode(), changed())
    assert frame["kind"][1] == "event"
    assert frame["kind"][0] in ("event", "dead_letter", "heartbeat")
    assert (frame["reason"][0] is not None) == (frame["kind"][0] == "dead_letter")
    assert frame["append_time"][0] == APPENDED
