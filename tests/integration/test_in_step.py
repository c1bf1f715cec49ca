"""Reading a real topic whose partitions are unequal: whole, and in step when asked to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from confluent_kafka import Producer, TopicPartition

from spotify_mlops.config import params
from spotify_mlops.io import kafka
from spotify_mlops.pipeline.kafka_reader import KafkaReader

SIZES = {0: 300_000, 1: 60_000}
"""Records of each partition; both cover the same time."""
SPAN = timedelta(hours=100)
START = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def unequal(services: object) -> params.Params:
    """A topic of two partitions, one with a fifth of the other's records."""
    profile = params.load("local", topic="unequal", partitions=2, batch_records=4_000)
    kafka.ensure_topic(profile)
    producer = Producer(kafka.client_config(profile) | {"acks": "all", "linger.ms": 20})
    for partition, count in SIZES.items():
        for number in range(count):
            while True:
                try:
                    producer.produce(profile.kafka.topic, b"%0200d" % number, partition=partition)
                    break
                except BufferError:
                    producer.poll(0.1)
    assert producer.flush(60) == 0
    return profile


def widest_spread(
    profile: params.Params,
    align: Callable[[KafkaReader, dict[int, datetime | None]], None],
    enough: Callable[[KafkaReader, pl.DataFrame, dict[int, int]], bool],
) -> timedelta:
    """Read all, each record once and in order; return how far apart the partitions ever were.

    After its first records the large partition gives nothing until there is ``enough`` of the
    small one: how far a library drifts by itself depends on the machine.
    """
    reader = KafkaReader(profile, dict.fromkeys(SIZES, 0))
    large, small = ([TopicPartition(profile.kafka.topic, partition)] for partition in SIZES)
    reader._consumer.pause(small)
    begun = released = False
    following = dict.fromkeys(SIZES, 0)
    widest = timedelta(0)
    try:
        while following != SIZES:
            batch = reader.poll()
            for (partition,), part in batch.partition_by("partition", as_dict=True).items():
                first = following[partition]
                following[partition] += part.height
                assert part["offset"].to_list() == list(range(first, following[partition]))
            marks = {p: START + SPAN * following[p] / SIZES[p] for p in SIZES}
            widest = max(widest, max(marks.values()) - min(marks.values()))
            if following[0] and not begun:
                begun = True
                reader._consumer.pause(large)
                reader._consumer.resume(small)
            elif begun and not released and enough(reader, batch, following):
                released = True
                reader._consumer.resume(large)
            align(reader, {p: mark for p, mark in marks.items() if following[p] < SIZES[p]})
    finally:
        reader.close()
    assert released
    return widest


def test_unequal_partitions_drift_apart(unequal: params.Params) -> None:
    """Nothing but ``align`` makes one wait for the other."""
    widest = widest_spread(
        unequal,
        lambda reader, marks: None,
        lambda reader, batch, following: following[1] == SIZES[1],
    )
    assert widest > 0.9 * SPAN


def test_partitions_are_kept_in_step(unequal: params.Params) -> None:
    held = []

    def align(reader: KafkaReader, marks: dict[int, datetime | None]) -> None:
        reader.align(marks, timedelta(hours=2))
        held.append(reader.throttles)

    # What is fetched already is given out too: some ten thousand records.
    widest = widest_spread(
        unequal,
        align,
        lambda reader, batch, following: reader.throttles and batch.is_empty(),
    )
    assert widest < 0.4 * SPAN
    assert any(held)
    assert not held[-1]
