"""When the reader writes a heartbeat for a partition, and when it holds one back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from spotify_mlops.config import params
from spotify_mlops.pipeline import kafka_reader
from spotify_mlops.pipeline.kafka_reader import KafkaReader

IDLE = timedelta(seconds=10)
EARLY = datetime(2026, 1, 5, 12, tzinfo=UTC)
MARKS = {0: EARLY, 1: EARLY + timedelta(hours=1)}


class Clock:
    """Seconds that only the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Broker:
    """A topic of two partitions: what has been read, what there is, and who listens."""

    def __init__(self, config: dict[str, object]) -> None:
        self.on_error: Callable[[object], None] = config["error_cb"]  # type: ignore[assignment]
        self.read = {0: 5, 1: 5}
        self.ends = {0: 5, 1: 5}
        self.beats: list[int] = []
        self.paused: set[int] = set()

    def assign(self, places: object) -> None:
        """Nothing to do."""

    def consume(self, count: int, timeout: float) -> list[object]:
        return []

    def pause(self, places: list[SimpleNamespace]) -> None:
        self.paused |= {place.partition for place in places}

    def resume(self, places: list[SimpleNamespace]) -> None:
        self.paused -= {place.partition for place in places}

    def get_watermark_offsets(
        self, place: SimpleNamespace, timeout: float = 0, cached: bool = False
    ) -> tuple[int, int]:
        return 0, self.ends[place.partition]

    def position(self, places: list[SimpleNamespace]) -> list[SimpleNamespace]:
        return [SimpleNamespace(offset=self.read[place.partition]) for place in places]

    def produce(self, topic: str, value: bytes, partition: int) -> None:
        self.beats.append(partition)

    def poll(self, timeout: float) -> None:
        """Nothing to do."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(kafka_reader, "time", clock)
    return clock


@pytest.fixture
def reader(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> tuple[KafkaReader, Broker]:
    made: list[Broker] = []

    def consumer(config: dict[str, object]) -> Broker:
        made.append(Broker(config))
        return made[0]

    monkeypatch.setattr(kafka_reader, "Consumer", consumer)
    monkeypatch.setattr(kafka_reader, "Producer", lambda config: made[0])
    return KafkaReader(params.load("local", kafka_bootstrap="127.0.0.1:1"), {0: 0, 1: 0}), made[0]


def listen(reader: KafkaReader, clock: Clock, seconds: float) -> None:
    for _ in range(round(seconds / 0.5)):
        clock.now += 0.5
        reader.poll()
        reader.beat_silent(MARKS, IDLE)


def test_a_silent_partition_that_is_behind_gets_a_heartbeat(
    reader: tuple[KafkaReader, Broker], clock: Clock
) -> None:
    listen(reader[0], clock, 9)
    assert reader[1].beats == []
    listen(reader[0], clock, 2)
    assert reader[1].beats == [0]


def test_records_that_wait_to_be_read_are_no_silence(
    reader: tuple[KafkaReader, Broker], clock: Clock
) -> None:
    reader[1].ends[0] = 6
    listen(reader[0], clock, 30)
    assert reader[1].beats == []


def test_no_time_passes_while_nobody_listens(
    reader: tuple[KafkaReader, Broker], clock: Clock
) -> None:
    listen(reader[0], clock, 9)
    clock.now += 60  # the sinks hold the source back
    listen(reader[0], clock, 9)
    assert reader[1].beats == []


def test_no_time_passes_while_the_broker_is_away(
    reader: tuple[KafkaReader, Broker], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader[0], "_answers", lambda: True)
    listen(reader[0], clock, 9)
    reader[0]._failing_since = clock.now
    listen(reader[0], clock, 30)
    assert reader[1].beats == []


def test_a_partition_that_is_far_ahead_is_held_back_until_the_slowest_has_come_near(
    reader: tuple[KafkaReader, Broker],
) -> None:
    kafka, broker = reader
    broker.ends = {0: 9, 1: 9}
    hour = timedelta(hours=1)
    seen = []
    for ahead in (1, 2, 3, 2, 1.5, 1, 2):
        kafka.align({0: EARLY, 1: EARLY + ahead * hour}, 2 * hour)
        assert kafka.throttles == (ahead in (3, 1.5) or len(seen) == 3)
        kafka.poll()
        seen.append(set(broker.paused))
    assert seen == [set(), set(), {1}, {1}, {1}, set(), set()]


def test_nobody_waits_for_a_partition_that_has_nothing_to_read(
    reader: tuple[KafkaReader, Broker],
) -> None:
    kafka, broker = reader
    broker.ends = {0: 9, 1: 9}
    far = {0: EARLY, 1: EARLY + timedelta(days=1)}
    kafka.align(far, IDLE)
    assert kafka.throttles
    broker.read[0] = 9
    kafka.align(far, IDLE)
    assert not kafka.throttles
    kafka.align({0: None, 1: EARLY}, IDLE)
    assert not kafka.throttles
    kafka.align({}, IDLE)
    assert not kafka.throttles
