"""Reading a stretch of the log, up to its end of now."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from ...config.errors import ServiceError
from ...config.params import Params
from ...domain.events import withheld
from . import damaged
from .admin import offsets
from .clients import client_config
from .journal import unanswered

_READ_AT_ONCE = 20_000


def read(params: Params, start: Mapping[int, int]) -> Iterator[list[tuple[int, int, Message]]]:
    """Yield the records from ``start`` (offset by partition) to the end that the log has now.

    Yields:
        Some records at a time, each with its partition and offset, in offset order within each
        partition. Left out are records that the log no longer has, that are larger than
        what a batch takes, or that nobody can read.

    Raises:
        ServiceError: the broker does not answer.
    """
    ends = offsets(params)
    position = {p: max(first, ends[p][0]) for p, first in start.items()}
    wanted = {p: ends[p][1] for p in start if ends[p][1] > position[p]}
    if not wanted:
        return
    consumer = Consumer(
        client_config(params)
        | {
            "group.id": f"{params.profile}-resume",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.message.max.bytes": 4 << 20,
            "receive.message.max.bytes": damaged.RECEIVE_BYTES,
            "check.crcs": True,
        }
    )
    try:
        consumer.assign([TopicPartition(params.kafka.topic, p, position[p]) for p in wanted])
        deadline = time.monotonic() + params.stream.service_timeout.total_seconds()
        while left := sum(max(end - position[p], 0) for p, end in wanted.items()):
            # `consume` waits for as many as it is asked for: never ask for more than there are.
            messages = consumer.consume(min(left, _READ_AT_ONCE), timeout=1.0)
            if messages:
                deadline = time.monotonic() + params.stream.service_timeout.total_seconds()
            elif time.monotonic() > deadline:
                raise ServiceError(unanswered(params))
            taken, beyond = _taken(params, messages, position, wanted)
            for partition, following in beyond.items():
                damaged.go_on(consumer, params.kafka.topic, partition, following)
            del messages
            yield taken
    except KafkaException as error:
        raise ServiceError(unanswered(params, error)) from error
    finally:
        consumer.close()


def _taken(
    params: Params,
    messages: Sequence[Message],
    position: dict[int, int],
    wanted: Mapping[int, int],
) -> tuple[list[tuple[int, int, Message]], dict[int, int]]:
    """Return the records among messages, and where to go on in partitions with a damaged batch.

    Moves ``position`` on.
    """
    taken = []
    beyond: dict[int, int] = {}
    for message in messages:
        partition, offset, error = message.partition(), message.offset(), message.error()
        if partition is None or offset is None or partition in beyond:
            continue
        if error is None:
            if offset < wanted[partition] and len(message) <= withheld.MAX_VALUE_BYTES:
                taken.append((partition, offset, message))
            position[partition] = offset + 1
            continue
        following = position[partition]
        if damaged.is_damage(error):
            following = _beyond_damage(params, partition, following)
        if following == position[partition]:
            raise KafkaException(error)
        position[partition] = beyond[partition] = following
    return taken, beyond


_beyond: dict[tuple[str, int, int], int] = {}
"""Ends of damaged batches that were looked for: the lag is read again and again at the log's end,
and to find one takes seconds."""


def _beyond_damage(params: Params, partition: int, offset: int) -> int:
    place = (params.kafka.topic, partition, offset)
    if place not in _beyond:
        _beyond[place] = damaged.salvage(params, partition, offset).following
    return _beyond[place]
