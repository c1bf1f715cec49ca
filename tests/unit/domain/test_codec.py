"""Decoding and validation: every reason, hostile input, and the way back."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawn import records
from hostile import BAD, ODD, changed
from logs import APPENDED, BASE, random_events, to_log
from oracle import Rules, event_fields, judge
from spotify_mlops.domain.events import (
    DUPLICATE_KEY,
    EVENT_COLUMNS,
    SCHEMA_VERSIONS,
    Ahead,
    Reason,
    codec,
    contract,
    decode,
    encode,
    encode_heartbeat,
    schema,
    times,
    withheld,
)
from spotify_mlops.domain.events.refusals import examine
from spotify_mlops.domain.events.values import LATEST
from thorough import examples

RULES = Rules()
AHEAD = Ahead(RULES.clock_skew, RULES.clock_skew + RULES.window + RULES.lateness)


def decoded(*values: bytes | None) -> pl.DataFrame:
    return decode(to_log(list(values), [0] * len(values), None, 1), AHEAD)  # type: ignore[arg-type]


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


def test_what_is_optional_and_cannot_be_read_is_null_and_a_whole_number_is_one() -> None:
    frame = decoded(
        changed(popularity=73.0, count=2.0, release_date="0000", country="XK"),
        changed(popularity=73.5, release_date="", track_name=7, artist_id=["x"]),
        changed(popularity=True, release_date="2024", artist_name={}),
        changed(popularity=101, count=3),
    )
    assert frame["kind"].to_list() == ["event"] * 4
    assert frame["popularity"].to_list() == [73, None, None, None]
    assert frame["count"].to_list() == [2, 1, 1, 3]
    assert [day and day.year for day in frame["release_date"]] == [None, None, 2024, None]
    assert frame["country"][0] == "XK"
    unread = frame.select("track_name", "artist_id", "artist_name")
    assert unread.row(1)[:2] == (None, None)
    assert unread.row(2)[2] is None


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
    monkeypatch.setattr(schema, "SCHEMA_VERSIONS", (*SCHEMA_VERSIONS, 3))
    assert decoded(*versions)["kind"].to_list() == ["event"] * 3


def test_a_heartbeat_of_a_newer_version_is_one() -> None:
    beats = [{"schema_version": v, "control": "heartbeat", "event_time": BASE} for v in (2, 3)]
    frame = decoded(*(json.dumps(beat, default=str).encode() for beat in beats))
    assert frame["kind"].to_list() == ["heartbeat", "dead_letter"]


def written(kind: Any) -> st.SearchStrategy[Any]:
    """Draw what a column of events holds."""
    if kind == pl.String:
        odd = st.characters(max_codepoint=0x80) | st.sampled_from("ñ\u2028\ud7ff\ufffe😀")
        return st.none() | st.text(odd | st.characters(exclude_categories=["Cs"]), max_size=8)
    if kind == pl.Date:
        return st.none() | st.dates()
    if isinstance(kind, pl.Datetime):
        return st.datetimes(datetime(1900, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC))
    return st.none() | st.integers(-(2**15), 2**15 - 1)


def test_events_come_back_as_they_were() -> None:
    events = random_events(500, 3600, seed=5)
    frame = decode(to_log(encode(events), [0] * 500, None, 1), AHEAD)
    assert frame.select(events.columns).equals(events)
    assert frame.select(DUPLICATE_KEY).n_unique() == 500


@examples(100)
@given(st.lists(st.tuples(*map(written, EVENT_COLUMNS.values()))))
def test_events_are_written_as_each_would_be_alone(rows: list[tuple[Any, ...]]) -> None:
    events = pl.DataFrame(rows, EVENT_COLUMNS, orient="row")
    alone = []
    for row in rows:
        members = {k: v for k, v in zip(EVENT_COLUMNS, row, strict=True) if v is not None}
        members["event_time"] = f"{members['event_time']:%Y-%m-%dT%H:%M:%S.%fZ}"
        alone.append(msgspec.json.encode({"schema_version": 1} | members))
    before = events.clone()
    assert encode(events).to_list() == alone
    assert events.equals(before)


@pytest.mark.parametrize("error", [ValueError, pl.exceptions.PanicException, ZeroDivisionError])
def test_a_poison_record_is_found_and_stops_nothing(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [changed(event_id=f"e{number}") for number in range(50)]
    values[17] = changed(event_id="poison")
    values[40] = b"{"
    good = [number for number in range(50) if number not in (17, 40)]
    expected = decoded(*values)
    real = times.parse_times

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
    monkeypatch.setattr(times, "parse_times", raising)
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

    monkeypatch.setattr(times, "parse_times", raising)
    with pytest.raises(error, match="broken"):
        decoded(changed(), changed())


def test_the_last_heartbeat_of_a_source_that_is_as_far_ahead_as_it_may_be_is_one() -> None:
    latest = APPENDED + AHEAD.event
    closing = latest + RULES.window + RULES.lateness
    frame = decoded(
        changed(event_time=latest.isoformat()),
        encode_heartbeat(closing),
        encode_heartbeat(closing + timedelta(microseconds=1)),
    )
    assert frame["kind"].to_list() == ["event", "heartbeat", "dead_letter"]
    assert frame["reason"].to_list() == [None, None, "future_heartbeat"]


def test_a_record_that_is_too_large_is_a_letter_with_its_digest_and_size() -> None:
    large = b"x" * (withheld.MAX_VALUE_BYTES + 1)
    fits = changed(track_name="y")
    values = withheld.taken([fits, large, None], len(large))
    frame = decode(to_log(values.to_list(), [0, 0, 0], None, 1), AHEAD)
    assert frame["reason"].to_list() == [None, "too_large", "empty"]
    digest = hashlib.sha256(large).hexdigest()
    assert frame["detail"][1] == f"{len(large)} bytes, SHA-256 {digest}: only in the log"
    assert withheld.originals(frame["value"]).to_list() == [fits, None, None]
    whole = pl.Series([fits, large, None], dtype=pl.Binary)  # as an older archive has it
    assert withheld.archived(whole).to_list() == values.to_list()


@pytest.mark.parametrize("largest", [0, withheld.MAX_VALUE_BYTES + 1])
def test_no_record_passes_for_a_note(largest: int) -> None:
    note = withheld.note(Reason.TOO_LARGE, "a lie")
    forged = [note, withheld.taken([note], 0)[0], note[:5], note[:-3]]
    values = withheld.taken(list(forged), largest)
    frame = decode(to_log(values.to_list(), [0] * len(forged), None, 1), AHEAD)
    assert frame["reason"].to_list() == ["not_utf8"] * len(forged)
    assert withheld.originals(frame["value"]).to_list() == forged
    assert withheld.archived(values).equals(values)


@given(st.lists(records, min_size=1, max_size=6))
@examples(100)
def test_whatever_comes_is_what_the_contract_says(values: list[bytes | None]) -> None:
    frame = decoded(*values)
    assert frame["value"].to_list() == values
    for number, value in enumerate(values):
        row = frame.row(number, named=True)
        verdict = judge(value, APPENDED, RULES)
        assert row["kind"] == verdict.kind
        assert row["reason"] in (verdict.reasons or {None})
        assert row["event_time"] == verdict.time
        for name, item in event_fields(verdict.fields).items():
            assert row[name] == item, name
        # Its neighbours make no difference to it, nor it to them.
        alone = decoded(value).with_columns(offset=pl.lit(number, pl.Int64))
        assert frame[number].equals(alone)


@given(st.lists(records, min_size=1, max_size=6))
@examples(100)
def test_the_mask_refuses_what_the_rules_have_a_fault_against(values: list[bytes | None]) -> None:
    log = to_log(values, [0] * len(values), None, 1)
    valid = decode(log, AHEAD)["kind"] == "event"
    members = {
        row: found
        for row, value in enumerate(values)
        if isinstance(found := examine(value, APPENDED, AHEAD), dict)
    }
    written = contract.written([contract.leniently(found) for found in members.values()])
    columns = contract.columns(written)
    frame = pl.DataFrame(columns).with_columns(pl.lit(APPENDED + AHEAD.event).alias(LATEST))
    faults = {
        row: contract.broken(found, flags)
        for (row, found), flags in zip(
            members.items(), contract.held(frame).iter_rows(), strict=True
        )
    }
    for row, value in enumerate(values):
        # A repeated field is the one thing that only the typed decoder sees.
        sound = faults.get(row, ...) is None and _is_typed(value)
        assert valid[row] == sound, value


def _is_typed(value: bytes | None) -> bool:
    try:
        contract.mended(value or b"")
    except (ValueError, RecursionError):
        return False
    return True


def test_a_field_is_added_in_one_place() -> None:
    """Struct, columns, mask and faults: nothing names a field but the table."""
    named = {field.name for field in contract.FIELDS}
    taken = {field.name for field in msgspec.structs.fields(contract.Record)}
    assert taken == named | {"schema_version", "control"}
    assert list(EVENT_COLUMNS) == [field.name for field in contract.FIELDS]
    assert {field.name for field, _ in contract.RULES} <= named
    for field in contract.FIELDS:
        judged = decoded(changed(**{field.name: {}}))
        assert judged["reason"].to_list() == [None if field.nullable else "wrong_type"]
        assert field.nullable or field.name in judged["detail"][0]
