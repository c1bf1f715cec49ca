"""Which log a topic is: a topic that was made again has the name of the old one, and no more.

A broker gives each topic an identity of its own when it is made. A log that lost its end keeps the
identity: there the append time of a record tells whether it is still the same record. The leader's
epoch would not: it moves with every restart of a broker that lost nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)

from ...config.errors import ServiceError
from ...config.params import Params
from . import damaged
from .admin import admin_client
from .clients import client_config

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Watch:
    """Asks again and again, without waiting, whether the topic is still the one it was."""

    def __init__(self, params: Params) -> None:
        self._params = params
        self._admin = admin_client(params)
        self._asked: Future[Any] | None = None

    def identity(self) -> str | None:
        """Return what the broker has said since this was asked last; None when it has not."""
        if self._asked is None:
            self._asked = self._ask()
        if not self._asked.done():
            return None
        answered, self._asked = self._asked, None
        try:
            return str(answered.result().topic_id)
        except KafkaException:
            return None  # the broker is away, or the topic is: the reader tells of both

    def wait(self) -> str:
        """Return the topic's identity.

        Raises:
            ServiceError: the broker does not answer, or there is no such topic.
        """
        try:
            return str(
                self._ask().result(self._params.stream.service_timeout.total_seconds()).topic_id
            )
        except (KafkaException, TimeoutError) as error:
            raise ServiceError(
                f"Kafka no dice cuál es el tema {self._params.kafka.topic} ({error}). "
                "Mira «spotify-mlops status»."
            ) from error

    def _ask(self) -> Future[Any]:
        asked = self._admin.describe_topics(
            TopicCollection([self._params.kafka.topic]),
            request_timeout=self._params.stream.service_timeout.total_seconds(),
        )
        return asked[self._params.kafka.topic]


def identity(params: Params) -> str:
    """Return the identity of the params' topic.

    Raises:
        ServiceError: the broker does not answer, or there is no such topic.
    """
    return Watch(params).wait()


def append_times(params: Params, places: Mapping[int, int]) -> dict[int, datetime]:
    """Return the append time of one record of each partition, by its offset.

    A record that cannot be read, or that its partition does not have, is left out.

    Raises:
        ServiceError: the broker does not answer.
    """
    found: dict[int, datetime] = {}
    if not places:
        return found
    consumer = Consumer(
        client_config(params)
        | {
            "group.id": f"{params.profile}-identity",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.message.max.bytes": 64 << 10,
            "receive.message.max.bytes": damaged.RECEIVE_BYTES,
            "check.crcs": True,
        }
    )
    try:
        left = dict(places)
        consumer.assign(
            [TopicPartition(params.kafka.topic, p, offset) for p, offset in left.items()]
        )
        deadline = time.monotonic() + params.stream.service_timeout.total_seconds()
        while left:
            message = consumer.poll(1.0)
            partition = message.partition() if message is not None else None
            if message is None or partition is None:
                if time.monotonic() > deadline:
                    raise ServiceError(f"Kafka no da los registros {left} de {params.kafka.topic}.")
                continue
            if partition not in left:
                continue
            error = message.error()
            if error is None and message.offset() == left[partition]:
                found[partition] = _EPOCH + timedelta(milliseconds=message.timestamp()[1])
            elif error is not None and not _is_answer(error):
                continue
            del left[partition]
    finally:
        consumer.close()
    return found


def _is_answer(error: KafkaError) -> bool:
    return damaged.is_damage(error) or error.code() in (
        KafkaError._PARTITION_EOF,
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError.OFFSET_OUT_OF_RANGE,
    )
