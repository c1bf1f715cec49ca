"""What topics the log has, and how each keeps its records: whoever makes them reads it here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from ...config.params import Params
from ...config.references import LOCAL
from ...config.sections import Kafka

MAX_RECORD_BYTES = 8 << 20
"""What the topic takes: a batch of one record, its key and envelope included."""
DEAD_LETTER_BYTES = MAX_RECORD_BYTES + (64 << 10)
"""A dead letter is a whole record and headers that say why."""
_FOR_EVER = "-1"


@dataclass(frozen=True)
class Topic:
    """A topic, as it is to be."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)
    """By Kafka's own names of a topic's settings."""


def dead_letter_topic(kafka: Kafka) -> str:
    """Return the name of the topic that dead letters go to."""
    return f"{kafka.topic}-dead-letters"


def sources_topic(kafka: Kafka) -> str:
    """Return the name of the topic where it stands what each source has published."""
    return f"{kafka.topic}-sources"


def topics(params: Params) -> tuple[Topic, ...]:
    """Return the topic of the events, that of their dead letters, and that of the sources.

    Append time is the time of the first two (`LogAppendTime`): an old event time neither expires a
    record nor is refused. On this machine records stay for ever. Of the sources the last record of
    each stays, everywhere.
    """
    retention = params.platform.log_retention // timedelta(milliseconds=1)
    config = {
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(MAX_RECORD_BYTES),
        "retention.ms": _FOR_EVER if params.kafka.bootstrap == LOCAL else str(retention),
    }
    return (
        Topic(params.kafka.topic, params.kafka.partitions, config),
        Topic(
            dead_letter_topic(params.kafka),
            1,
            config | {"max.message.bytes": str(DEAD_LETTER_BYTES)},
        ),
        Topic(
            sources_topic(params.kafka),
            1,
            {"cleanup.policy": "compact", "segment.bytes": str(4 << 20)},
        ),
    )
