"""A log that grows with its sources: what is new is published, once, and what is late is late.

The log is in memory here; `tests/integration/test_topic.py` does the same with Kafka.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_log import PARTITIONS, KilledError, Log, Message
from spotify_mlops.config import params
from spotify_mlops.config.errors import InputError
from spotify_mlops.config.params import Params
from spotify_mlops.domain.events import encode_heartbeat
from spotify_mlops.sources import manifest
from spotify_mlops.sources.found import as_events
from spotify_mlops.sources.publishing import Published, publish_new
from thorough import examples

START = datetime(2024, 1, 5, tzinfo=UTC)


def events(hours: list[int], source: str = "charts") -> pl.DataFrame:
    rows = {
        "event_time": [START + timedelta(hours=hour) for hour in hours],
        "country": ["CO"] * len(hours),
        "track_id": [f"t{hour % 5}" for hour in hours],
    }
    schema = {"event_time": pl.Datetime("us", "UTC"), "country": pl.String, "track_id": pl.String}
    return as_events(pl.DataFrame(rows, schema), source)


def ingest(
    settings: Params, hours: list[int], source: str = "charts", *, close: bool = False
) -> Published:
    frame = events(sorted(set(hours)), source)
    return publish_new(
        settings,
        source,
        lambda: frame.iter_slices(4),
        last=frame["event_time"][-1],
        expected=frame.height,
        close=close,
        progress=None,
    )


def profile(**changes: Any) -> Params:
    return params.load("local", partitions=PARTITIONS, allowed_lateness="2h", **changes)


step = st.tuples(
    st.sampled_from(["charts", "history", "beat"]),
    st.lists(st.integers(0, 200), min_size=1, max_size=12),
    st.booleans(),
    st.none() | st.integers(0, 6),
)


@given(st.lists(step, min_size=1, max_size=5), st.sampled_from(["publish", "leave_out"]))
@examples(150)
def test_whatever_comes_after_whatever_each_event_is_there_once(
    steps: list[tuple[str, list[int], bool, int | None]], policy: str
) -> None:
    settings = profile(late_events=policy)
    log = Log()
    late_left: set[tuple[str, int]] = set()
    with pytest.MonkeyPatch.context() as patched:
        log.patch(patched)
        for source, hours, close, room in steps:
            if source == "beat":  # the streaming job's, or somebody else's
                value = encode_heartbeat(START + timedelta(hours=hours[0]))
                log.records[hours[0] % PARTITIONS].append(Message(None, value))
                continue
            log.room = room
            try:
                ingest(settings, hours, source, close=close)
            except KilledError:
                assert manifest.injected(settings) is None
            log.room = None
            done = ingest(settings, hours, source, close=close)
            wanted = len(set(hours))
            assert done.published + done.skipped + done.late_left_out == wanted
            late_left |= {(source, hour) for hour in hours}
        found = log.read(settings)
        injected = manifest.injected(settings)
    ours = found.filter(kind="event")
    assert ours.select("event_id").is_unique().all()
    given = {(source, hour) for source, hours, _, _ in steps if source != "beat" for hour in hours}
    if policy == "publish":
        assert ours.height == len(given)
    else:
        assert not ours["late"].any()
    if injected is not None:
        assert injected["late"] == ours["late"].sum()
        assert injected["events"] + injected["late"] == ours.height


def test_one_more_week_is_what_is_published(log: Log) -> None:
    settings = profile()
    assert ingest(settings, [0, 1, 2], close=True).published == 3
    done = ingest(settings, [0, 1, 2, 3, 4])
    assert (done.published, done.skipped, done.late) == (2, 3, 0)
    assert done.heartbeats == 0
    again = ingest(settings, [0, 1, 2, 3, 4])
    assert (again.published, again.skipped) == (0, 5)


def test_closing_twice_writes_one_heartbeat_a_partition(log: Log) -> None:
    settings = profile()
    first = ingest(settings, [0, 1], close=True)
    assert first.heartbeats == PARTITIONS
    assert first.closed_until == START + timedelta(hours=2)
    assert ingest(settings, [0, 1], close=True).heartbeats == 0
    assert not log.read(settings)["late"].any()


def test_an_older_file_is_published_as_late_left_out_or_refused(log: Log) -> None:
    ingest(profile(), [100], close=True)
    with pytest.raises(InputError, match=r"3 eventos, desde el 2024-01-05, .*llegarían tarde"):
        ingest(profile(late_events="refuse"), [1, 2, 3, 101])
    left = ingest(profile(late_events="leave_out"), [1, 2, 3, 101])
    assert (left.published, left.late_left_out) == (1, 3)
    late = ingest(profile(), [1, 2, 3, 101])
    assert (late.published, late.late, late.skipped) == (3, 3, 1)
    assert log.read(profile()).filter("late").height == 3


def test_no_heartbeat_goes_beyond_what_an_event_may(log: Log) -> None:
    settings = profile(window="7d", window_offset="1d")
    today = (datetime.now(UTC) - START) // timedelta(hours=1)
    ingest(settings, [today], close=True)
    latest = datetime.now(UTC) + settings.windows.clock_skew
    beats = [
        datetime.fromisoformat(json.loads(row.value())["event_time"])
        for rows in log.records.values() for row in rows if row.key() is None
    ]  # fmt: skip
    assert len(beats) == PARTITIONS
    assert max(beats) <= latest
