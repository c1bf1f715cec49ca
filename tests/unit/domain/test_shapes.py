"""Records read by their shape are what the typed decoder makes of them, whatever lies between."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawn import records
from hostile import BAD, GOOD, ODD
from logs import random_events, to_log
from spotify_mlops.domain.events import Ahead, decode, encode, encode_heartbeat, shapes
from spotify_mlops.sources.malformed import REASONS, corrupt
from thorough import examples

AHEAD = Ahead(timedelta(days=1), timedelta(days=2))
FULL = GOOD | {
    "track_name": "Canción, \u2028 «\U0001f600»",
    "artist_name": "Ñ",
    "count": 4,
    "popularity": 73,
    "artist_id": "x",
    "album_name": "y",
    "release_date": "2020-05",
}
SHAPES = [
    {},
    {"count": 12},
    {"count": 3, "popularity": 50},
    {"track_name": "ñ", "artist_name": None, "count": 1},
    {"popularity": None, "album_name": None},
    {"track_name": "x", "release_date": "2021-02-29"},
    {name: FULL[name] for name in reversed(FULL)},
    FULL,
]
COMPACT, SPACED = (",", ":"), (", ", ": ")


@pytest.fixture(autouse=True)
def _few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "_LEAST", 1)


def event(style: tuple[str, str] = COMPACT, **fields: Any) -> bytes:
    return json.dumps(GOOD | fields, ensure_ascii=False, separators=style).encode()


def log(values: list[bytes | None]) -> pl.DataFrame:
    return to_log(values, [0] * len(values), None, 1)  # type: ignore[arg-type]


def one_by_one(values: list[bytes | None]) -> pl.DataFrame:
    """Decode as if no record had a shape."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes, "_LEAST", len(values) + 1)
        return decode(log(values), AHEAD)


def check(values: list[bytes | None]) -> None:
    """Compare both ways, record by record: kinds, reasons, details, columns."""
    expected = one_by_one(values)
    found = decode(log(values), AHEAD)
    assert found.schema == expected.schema
    for row, other in zip(found.iter_rows(named=True), expected.iter_rows(named=True), strict=True):
        assert row == other


def read(values: list[bytes | None]) -> list[int]:
    return shapes.read(pl.Series("value", values, dtype=pl.Binary))["_row"].to_list()


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["\\", '"', '","', '":"', "\x7f", "\u2028", "\ud7ff", "\ufffe", "{[", "}", "null", "x" * 300]
)
_TIMES = st.sampled_from(
    (
        *("2026-01-05T10:00:00.000001Z", "2026-01-05T10:00:00Z", "2016-12-31T23:59:60Z"),
        *("2016-12-30T23:59:60.000000Z", "2026-01-05T10:00:00+02:00", "9000-01-01T00:00:00Z"),
        *("1899-12-31T00:00:00.000000Z", "2026-02-30T10:00:00.000000Z", "2026-01-05T10:00:00"),
    )
)
_VALUES = st.fixed_dictionaries(
    {},
    optional={
        "event_id": _TEXTS,
        "track_id": _TEXTS,
        "track_name": _TEXTS,
        "event_time": _TIMES,
        "country": st.sampled_from(["ES", "XX", "co", ""]),
        "count": st.sampled_from([1, 0, -1, 10**12, 10**12 + 1, 2**63 - 1, 2**63, 10**40]),
        "popularity": st.sampled_from([0, 100, 101, -1, 2**63]),
        "schema_version": st.sampled_from([1, 2, 3, 10**30, -1]),
        "release_date": st.sampled_from(["2020", "2020-13", "0000", "", "2020-01-02"]),
    },
)
_NUMBERS = [b"1.0", b"1e3", b"1.5", b"01", b"-0", b"+1", b" 7", b"7 ", b"1" * 30, b"-5", b"true"]
_NUMBERS += [b"null", b'"7"', b"NaN", b"1_0", b"0x1", "\u0663".encode(), b"", b"9" * 19]
_FRAGMENTS = (
    *(b'"', b'","', b"\\", b"\\u0041", b"\\ud800", b'\\"', b"\x00", b"\n", b"\x1f", b"\x7f", b" "),
    *(b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xef\xbb\xbf", b"{", b"}", b"["),
    *(b',"x":1', b',"x":{"y":[1]}', b',"count":7', b',"track_id":"z"', b',"country":5'),
    *(b',"control":"heartbeat"', b',"control":"a"', b',"x":' + b"[" * 120 + b"]" * 120),
)


@st.composite
def _nearly(draw: st.DrawFn) -> bytes:
    """Draw a record that has a shape, or would but for a little."""
    fields = draw(st.sampled_from(SHAPES)) | draw(_VALUES)
    value = event(draw(st.sampled_from([COMPACT, COMPACT, SPACED])), **fields)
    how = draw(st.integers(0, 5))
    if how == 0:
        number = draw(st.sampled_from(_NUMBERS))
        value = value.replace(b'"count":1', b'"count":' + number).replace(
            b":4,", b":" + number + b","
        )
    elif how == 1:
        place = draw(
            st.sampled_from([0, 1, len(value) - 1, len(value)]) | st.integers(0, len(value))
        )
        value = value[:place] + draw(st.sampled_from(_FRAGMENTS)) + value[place:]
    elif how == 2:
        place = draw(st.integers(0, len(value)))
        value = value[:place] + value[place + draw(st.integers(1, 3)) :]
    return value


@given(st.lists(_nearly() | _nearly() | records, min_size=1, max_size=12))
@examples(100)
def test_both_ways_say_the_same_of_every_record(values: list[bytes | None]) -> None:
    check(values)


@given(st.lists(_nearly(), min_size=2, max_size=12), st.data())
@examples(25)
def test_where_a_batch_is_cut_makes_no_difference(values: list[bytes | None], data: Any) -> None:
    whole = decode(log(values), AHEAD)
    place = data.draw(st.integers(1, len(values) - 1))
    parts = [decode(part, AHEAD) for part in (log(values)[:place], log(values)[place:])]
    assert whole.equals(pl.concat(parts))


@pytest.mark.parametrize("fields", SHAPES, ids=range(len(SHAPES)))
@pytest.mark.parametrize("style", [COMPACT, SPACED])
def test_a_shape_reads_every_record_that_has_it(
    fields: dict[str, Any], style: tuple[str, str]
) -> None:
    values: list[bytes | None] = [
        event(style, **fields | {"event_id": f"é{number}"}) for number in range(20)
    ]
    assert read(values) == list(range(20))
    check(values)


def test_what_is_no_member_of_the_shape_is_left() -> None:
    good: list[bytes | None] = [event(event_id=f"e{number}", count=4) for number in range(40)]
    hostile = [value for value, _ in BAD if value is None or len(value) < 1000]
    hostile += [value for value in ODD if len(value) < 100_000]
    hostile += [corrupt(event(count=4), reason) for reason in REASONS]
    hostile += [event(count=4, track_id="x" * 65_537), event(count=4, source="x" * 65_000)]
    hostile += [encode_heartbeat(random_events(1, 1, 1)["event_time"][0])]
    mixed = [value for pair in zip(good * 9, hostile, strict=False) for value in pair]
    assert set(range(0, len(mixed), 2)) <= set(read(mixed))
    check(mixed)


def test_a_quotation_mark_too_many_is_seen_whatever_another_record_has() -> None:
    good = event(count=4)
    odd = good.replace(b'"a"', b'"a"b"')
    check([good, odd, good, good])
    assert read([good, odd, good, good]) == [0, 2, 3]


def test_all_that_encode_writes_is_read() -> None:
    events = random_events(500, 3600, seed=5).with_columns(
        track_name=pl.when(pl.col("count") == 1).then(pl.lit("Ñandú «2»")),
        release_date=pl.date(2020, 1, 2),
    )
    values: list[bytes | None] = encode(events).to_list()
    assert read(values) == list(range(500))
    check(values)


def test_only_text_is_text() -> None:
    values = [b"a", b"\xff", None, "ñ".encode(), b"\xed\xa0\x80", b"", b"\xc3", b"\xf4\x90\x80\x80"]
    series = pl.Series("value", values, dtype=pl.Binary)
    expected = [True, False, True, True, False, True, False, False]
    assert shapes.is_text(series).to_list() == expected
    assert shapes.is_text(series.filter(pl.Series(expected))).all()
    assert series.to_list() == values
