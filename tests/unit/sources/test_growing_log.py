"""A log that grows with its sources: what is new is published, once, and what is late is late.

The log is a list in memory here; `tests/integration/test_topic.py` does the same with Kafka.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_mlops.config import params
from spotify_mlops.config.errors import InputError
from spotify_mlops.config.params import Params
from spotify_mlops.domain.events import LOG_COLUMNS, Ahead, decode, encode_heartbeat
from spotify_mlops.domain.watermark import mark
from spotify_mlops.sources import manifest, publishing, standing
from spotify_mlops.sources.found import as_events
from spotify_mlops.sources.publishing import Published, publish_new
from thorough import examples

START = datetime(2024, 1, 5, tzinfo=UTC)
NOW = datetime(2024, 6, 1, tzinfo=UTC)
PARTITIONS = 3


class Message:
    def __init__(self, key: str | None, value: bytes) -> None:
        self._key, self._value = key, value

    def key(self) -> bytes | None:
        return None if self._key is None else self._key.encode()

    def value(self) -> bytes:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return 2, int(NOW.timestamp() * 1000)


class KilledError(BaseException):
    pass


class Log:
    """A topic and its journal, in memory, in the place of Kafka's clients."""

    def __init__(self) -> None:
        self.records: dict[int, list[Message]] = {p: [] for p in range(PARTITIONS)}
        self.entries_: dict[str, dict[str, Any]] = {}
        self.room: int | None = None
        """Records that are taken before the process is killed; None for no end."""

    def patch(self, patched: pytest.MonkeyPatch) -> None:
        log = self

        class Journal:
            def __init__(self, settings: Params) -> None:
                pass

            def entries(self) -> dict[str, dict[str, Any]]:
                return json.loads(json.dumps(log.entries_))

            def write(self, key: str, entry: dict[str, Any]) -> None:
                log.entries_[key] = json.loads(json.dumps(entry))

        class Publisher:
            published = skipped = 0

            def __init__(self, settings: Params) -> None:
                pass

            def __enter__(self) -> Publisher:
                return self

            def __exit__(self, *error: object) -> None:
                pass

            def send(self, records: pl.DataFrame) -> None:
                log.append(records)

        def offsets(settings: Params) -> dict[int, tuple[int, int]]:
            return {p: (0, len(rows)) for p, rows in log.records.items()}

        def read(settings: Params, start: Mapping[int, int]) -> Iterator[Any]:
            for p, rows in log.records.items():
                found = [(p, n, row) for n, row in enumerate(rows)][start[p] :]
                for first in range(0, len(found), 3):
                    yield found[first : first + 3]

        patched.setattr(publishing, "Journal", Journal)
        patched.setattr(manifest, "Journal", Journal)
        patched.setattr(publishing, "Publisher", Publisher)
        for module in (publishing, standing):
            patched.setattr(module, "offsets", offsets)
        patched.setattr(standing, "read", read)

    def append(self, records: pl.DataFrame) -> None:
        for partition, key, value in records.select("partition", "key", "value").iter_rows():
            if self.room is not None:
                if self.room == 0:
                    raise KilledError
                self.room -= 1
            self.records[partition].append(Message(key, value))

    def read(self, settings: Params) -> pl.DataFrame:
        """Return what the streaming job makes of the log: decoded, and late or not."""
        rows = [
            (p, n, NOW, row.value()) for p, found in self.records.items()
            for n, row in enumerate(found)
        ]  # fmt: skip
        decoded = decode(pl.DataFrame(rows, LOG_COLUMNS, orient="row"), Ahead.of(settings.windows))
        marked, _ = mark(decoded, dict.fromkeys(self.records), settings.windows.allowed_lateness)
        return marked


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


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    found = Log()
    found.patch(monkeypatch)
    return found


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
