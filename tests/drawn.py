"""Logs drawn by Hypothesis: small, crowded in time and tracks, with all that a log may hold."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import strategies as st

from hostile import BAD, GOOD, ODD
from logs import APPENDED, BASE
from spotify_mlops.domain.events import EVENT_TYPES, LOG_COLUMNS, encode_heartbeat

MINUTES = 90
"""Event times are drawn from so many minutes after ``BASE``."""

times = st.integers(0, MINUTES * 60 - 1).map(lambda second: BASE + timedelta(seconds=second))
events = st.fixed_dictionaries(
    {
        "event_time": times,
        "event_type": st.sampled_from(("play", "play", *EVENT_TYPES)),
        "country": st.sampled_from(["CO", "ES", "BR"]),
        "track_id": st.sampled_from(["t1", "t2", "t3", "ñ 4"]),
        "count": st.integers(1, 9),
    },
    optional={
        "artist_name": st.sampled_from([None, "A", "B"]),
        "track_name": st.sampled_from([None, "X", "Y"]),
        "popularity": st.none() | st.integers(0, 100),
        "release_date": st.sampled_from(["2025", "2026-01", "2026-01-04", "2026-02-01"]),
        "mood": st.sampled_from([None, {"a.b": [1e300, 10**30]}]),
    },
)


@dataclass(frozen=True)
class Record:
    """A record before it has a place: whose partition, and when it would come in good order."""

    partition: int
    time: datetime | None
    value: bytes | None


def event(number: int, fields: dict[str, Any]) -> bytes:
    """Return an event as JSON; ``number`` tells it from all others."""
    time = fields["event_time"].isoformat().replace("+00:00", "Z")
    named = {"schema_version": 1, "event_id": f"e{number}", "source": "test"}
    return json.dumps(named | fields | {"event_time": time}).encode()


def placed(records: list[Record]) -> pl.DataFrame:
    """Append records to a log in this order."""
    following: dict[int, int] = {}
    rows = []
    for record in records:
        offset = following.get(record.partition, 0)
        following[record.partition] = offset + 1
        rows.append((record.partition, offset, APPENDED, record.value))
    return pl.DataFrame(rows, schema=LOG_COLUMNS, orient="row")


@st.composite
def logs(draw: st.DrawFn, partitions: int) -> pl.DataFrame:
    """Draw a log: events in order or not, copies, heartbeats, hostile records, an end or none."""
    drawn = draw(st.lists(events, min_size=1, max_size=60))
    if draw(st.booleans()):
        drawn.sort(key=lambda fields: fields["event_time"])
    partition = st.integers(0, partitions - 1)
    records: list[Record] = []
    for number, fields in enumerate(drawn):
        records.append(Record(draw(partition), None, event(number, fields)))
        other = draw(st.integers(0, 9))
        if other == 0:
            again = draw(st.sampled_from(records))
            records.append(Record(draw(partition), None, again.value))
        elif other == 1:
            records.append(Record(draw(partition), None, encode_heartbeat(draw(times))))
        elif other == 2:
            records.append(Record(draw(partition), None, draw(hostile)))
    if draw(st.integers(0, 3)):
        end = encode_heartbeat(BASE + timedelta(minutes=MINUTES + 20))
        records += [Record(p, None, end) for p in range(partitions)]
    return placed(records)


@st.composite
def in_time(draw: st.DrawFn) -> list[tuple[str, datetime, bytes]]:
    """Draw events and copies of some: track, event time, record."""
    drawn = draw(st.lists(events, min_size=1, max_size=40))
    values = [
        (fields["track_id"], fields["event_time"], event(number, fields))
        for number, fields in enumerate(drawn)
    ]
    return values + draw(st.lists(st.sampled_from(values), max_size=5))


@st.composite
def orders(
    draw: st.DrawFn,
    values: list[tuple[str, datetime, bytes]],
    partitions: int,
    lateness: timedelta,
) -> pl.DataFrame:
    """Draw a log of all these events: displaced by ``lateness`` at most, with pauses."""
    most = int(lateness.total_seconds())
    delays = draw(st.lists(st.integers(0, most), min_size=len(values), max_size=len(values)))
    delayed = [
        (time + timedelta(seconds=delay), index)
        for index, ((_, time, _), delay) in enumerate(zip(values, delays, strict=True))
    ]
    records: list[Record] = []
    highest = BASE
    for _, index in sorted(delayed):
        _, time, value = values[index]
        records.append(Record(draw(st.integers(0, partitions - 1)), time, value))
        highest = max(highest, time)
        if draw(st.integers(0, 7)) == 0:  # a silent partition: a heartbeat of the highest mark
            silent = draw(st.integers(0, partitions - 1))
            records.append(Record(silent, highest, encode_heartbeat(highest)))
    end = encode_heartbeat(BASE + timedelta(minutes=MINUTES + 20))
    return placed([*records, *(Record(p, None, end) for p in range(partitions))])


# Records alone

hostile = st.sampled_from([value for value, _ in BAD if value is None or len(value) < 1000])
_FRAGMENTS = (
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\\u", b"\\ud800", b"\x00", b"\xff"),
    *(b"\xed\xa0\x80", b"\xef\xbb\xbf", b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"-0"),
    *(b"9" * 20, b"1" * 4400, b"1.0", b'"control":"heartbeat",', b'"count":0,', b'"country":"XX",'),
    *(b'"x":' + b"[" * 99 + b"]" * 99 + b",", b'"schema_version":9,', b'"popularity":null,'),
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)
_digits = st.integers(0, 99).map(lambda number: f"{number:02d}")
_clocks = st.builds(
    lambda year, month, day, hour, second, rest: f"{year}-{month}-{day}T{hour}:59:{second}{rest}",
    st.sampled_from(["0000", "0001", "1899", "1900", "2016", "2026", "9999", "12026"]),
    st.sampled_from(["01", "02", "06", "12", "13"]),
    st.sampled_from(["01", "28", "29", "30", "31", "32"]),
    st.sampled_from(["00", "18", "23", "24"]),
    st.sampled_from(["00", "59", "60", "61"]) | _digits,
    st.sampled_from(
        ["Z", "z", ".5Z", ".1234567Z", ".Z", "", "+05:00", "-05:00", "+24:00", "-00:00", "Z\n"]
    ),
)
_dates = st.sampled_from(["0000", "0001", "9999-12-31", "2021-02-29", "2020-02-29", "2020-13", ""])
_fields = st.dictionaries(
    st.sampled_from([*GOOD, "track_name", "count", "popularity", "control", "mood"]), _json
) | st.fixed_dictionaries({}, optional={"event_time": _clocks, "release_date": _dates})


@st.composite
def _spoilt(draw: st.DrawFn) -> bytes:
    """Draw an event, and change some of its bytes."""
    value = event(draw(st.integers(0, 9)), draw(events))
    for _ in range(draw(st.integers(0, 3))):
        first, last = sorted(draw(st.tuples(*[st.integers(0, len(value))] * 2)))
        middle = draw(
            st.sampled_from([*_FRAGMENTS, b"", value[first:last] * 2])
            | st.binary(min_size=1, max_size=3)
        )
        last = draw(st.sampled_from([first, min(first + 1, len(value)), last]))
        value = value[:first] + middle + value[last:]
    return value


records = st.one_of(
    _spoilt(),
    _fields.map(lambda fields: json.dumps(GOOD | fields).encode()),
    st.sampled_from([value for value in ODD if len(value) < 100_000]),
    hostile,
    st.binary(max_size=40),
    st.text(max_size=20).map(lambda text: text.encode(errors="surrogatepass")),
)
"""Any record: good, spoilt, odd, hostile, or bytes that mean nothing."""
