"""Logs drawn by Hypothesis: small, crowded in time and tracks, with all that a log may hold."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import strategies as st
from logs import APPENDED, BASE

from hostile import BAD
from spotify_mlops.events import EVENT_TYPES, LOG_COLUMNS, encode_heartbeat

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
hostile = st.sampled_from([value for value, _ in BAD if value is None or len(value) < 1000])


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
