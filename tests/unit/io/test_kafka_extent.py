"""What a partition holds, asked for while its broker is taking it over."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from spotify_mlops.io.kafka.admin import extent_of

PLACE = TopicPartition("sources", 0)


class Broker:
    """As a consumer sees it: one refusal after the other, then an extent."""

    def __init__(self, *refusals: int) -> None:
        self.refusals = [*refusals]

    def poll(self, timeout: float) -> None:
        assert timeout == 0

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        assert (place, timeout) == (PLACE, 30)
        if self.refusals:
            raise KafkaException(KafkaError(self.refusals.pop(0)))
        return 3, 7


def test_a_broker_that_does_not_lead_yet_is_asked_again() -> None:
    broker = Broker(KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
    assert extent_of(broker, PLACE, 30) == (3, 7)  # type: ignore[arg-type]


def test_what_has_another_reason_is_told_at_once() -> None:
    broker = Broker(KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.NOT_LEADER_FOR_PARTITION)
    with pytest.raises(KafkaException):
        extent_of(broker, PLACE, 30)  # type: ignore[arg-type]
    assert len(broker.refusals) == 1
