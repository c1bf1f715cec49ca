"""When the reader holds a partition back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError

from spotify_mlops.config import params
from spotify_mlops.config.errors import IntegrityError, ServiceError
from spotify_mlops.pipeline import kafka_reader
from spotify_mlops.pipeline.kafka_reader import KafkaReader

IDLE = timedelta(seconds=10)
EARLY = datetime(2026, 1, 5, 12, tzinfo=UTC)


class Broker:
    """A topic of two partitions: what has been read, what there is, and who listens."""

    def __init__(self, config: dict[str, object]) -> None:
        self.on_error: Callable[[object], None] = config["error_cb"]  # type: ignore[assignment]
        self.read = {0: 5, 1: 5}
        self.ends = {0: 5, 1: 5}
        self.paused: set[int] = set()
        self.given: list[SimpleNamespace] = []
        self.sent: list[tuple[int, int]] = []

    def assign(self, places: object) -> None:
        """Nothing to do."""

    def consume(self, count: int, timeout: float) -> list[object]:
        given, self.given = self.given, []
        return given

    def incremental_unassign(self, places: object) -> None:
        """Nothing to do."""

    def incremental_assign(self, places: list[SimpleNamespace]) -> None:
        self.sent += [(place.partition, place.offset) for place in places]

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


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> tuple[KafkaReader, Broker]:
    made: list[Broker] = []

    def consumer(config: dict[str, object]) -> Broker:
        made.append(Broker(config))
        return made[0]

    monkeypatch.setattr(kafka_reader, "Consumer", consumer)
    return KafkaReader(params.load("local", kafka_bootstrap="127.0.0.1:1"), {0: 0, 1: 0}), made[0]


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


def failing(partition: int, code: int) -> SimpleNamespace:
    """Return what the consumer gives in place of records."""
    return SimpleNamespace(
        partition=lambda: partition, offset=lambda: None, error=lambda: KafkaError(code)
    )


OUT_OF_RANGE, TRUNCATED = KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._LOG_TRUNCATION


def test_a_place_that_the_broker_does_not_know_and_has_is_gone_back_to(
    reader: tuple[KafkaReader, Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka, broker = reader
    broker.ends = {0: 9, 1: 9}
    broker.given = [failing(1, OUT_OF_RANGE)]
    assert kafka.poll().height == 0
    assert broker.sent == [(1, 5)]
    monkeypatch.setattr(kafka_reader, "_TROUBLE_SECONDS", 0.0)
    assert [(each.partition, each.offset) for each in kafka.unreadable] == [(1, 5)]


@pytest.mark.parametrize(("end", "code"), [(4, OUT_OF_RANGE), (9, TRUNCATED)])
def test_a_place_that_the_log_has_lost_ends_the_reading(
    reader: tuple[KafkaReader, Broker], end: int, code: int
) -> None:
    kafka, broker = reader
    broker.ends = {0: 9, 1: end}
    broker.given = [failing(1, code)]
    with pytest.raises(IntegrityError, match=f"partición 1 va del 0 al {end} y .* desde el 5"):
        kafka.poll()
    assert broker.sent == []


def test_a_place_that_stays_unknown_ends_the_reading(
    reader: tuple[KafkaReader, Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka, broker = reader
    now = [1000.0]
    monkeypatch.setattr(kafka_reader.time, "monotonic", lambda: now[0])
    for _ in range(2):
        broker.given = [failing(0, OUT_OF_RANGE)]
        kafka.poll()
    now[0] += 3600
    with pytest.raises(ServiceError, match="desde el registro 5"):
        kafka.poll()
    assert broker.sent == [(0, 5), (0, 5)]
