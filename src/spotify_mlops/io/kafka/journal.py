"""What each source has published, kept beside the log, in the same broker.

The topic ``<topic>-sources`` is compacted: the last record of a key is the entry of that source.
Entries name the log's topic by its identity, so those of a topic that was deleted count for
nothing.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)

from ...config.errors import IntegrityError, ServiceError
from ...config.params import Params
from . import damaged
from .admin import admin_client, ensure_topic, extent_of
from .clients import client_config
from .topics import sources_topic

_log = logging.getLogger(__name__)


class Journal:
    """The entries of the sources of one log.

    Raises:
        ServiceError: the broker does not answer.
    """

    def __init__(self, params: Params) -> None:
        ensure_topic(params)
        self._params = params
        self._name = sources_topic(params.kafka)
        self._timeout = params.stream.service_timeout.total_seconds()
        self._topic_id = self._identity()

    def entries(self) -> dict[str, dict[str, Any]]:
        """Return the last entry of each source, by its key.

        What is no entry, as anybody may write it into a topic, counts for nothing.

        Raises:
            IntegrityError: the broker's file is damaged.
            ServiceError: the broker does not answer.
        """
        found: dict[str, dict[str, Any]] = {}
        consumer = Consumer(
            client_config(self._params)
            | {
                "group.id": f"{self._params.profile}-sources",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 10,  # the end is told when a fetch waited in vain
                "check.crcs": True,
            }
        )
        try:
            low, high = extent_of(consumer, TopicPartition(self._name, 0), self._timeout)
            if low == high:
                return found
            consumer.assign([TopicPartition(self._name, 0, low)])
            while True:
                message = consumer.poll(self._timeout)
                if message is None:
                    raise ServiceError(unanswered(self._params))
                error = message.error()
                if error is not None:
                    if error.code() == KafkaError._PARTITION_EOF:
                        break
                    if damaged.is_damage(error):
                        raise IntegrityError(self._damage(error))
                    raise KafkaException(error)
                key, value = message.key(), message.value()
                if key is None or value is None:
                    continue
                try:
                    entry = msgspec.json.decode(value, type=dict[str, Any])
                    name = key.decode()
                except ValueError as error:
                    _log.warning(
                        "El registro %d de %s no es de una fuente (%s): no cuenta.",
                        *(message.offset(), self._name, error),
                    )
                    continue
                if entry.pop("topic_id", None) == self._topic_id:
                    found[name] = entry
        except KafkaException as error:
            raise ServiceError(unanswered(self._params, error)) from error
        finally:
            consumer.close()
        return found

    def write(self, key: str, entry: dict[str, Any]) -> None:
        """Replace the entry of a source; returns when the broker has it.

        Raises:
            ServiceError: the broker did not take it.
        """
        value = msgspec.json.encode(entry | {"topic_id": self._topic_id})
        failed: list[KafkaError] = []
        producer = Producer(
            client_config(self._params)
            | {
                "log_level": 2,
                # Written twice by a retry, an entry is the same; the identity of an idempotent
                # producer would take half a second to get.
                "acks": "all",
                "message.timeout.ms": int(self._timeout * 1000),
                "linger.ms": 0,
            }
        )
        producer.produce(
            self._name,
            value,
            key.encode(),
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
        if producer.flush(self._timeout + 5) or failed:
            raise ServiceError(unanswered(self._params, failed[0] if failed else None))

    def _damage(self, error: KafkaError) -> str:
        return (
            f"El tema {self._name}, donde consta lo que cada fuente publicó, está dañado "
            f"({error.str()}). Recupera la carpeta de datos de Kafka de una copia; o usa otro "
            "topic y otro dataset en los parámetros."
        )

    def _identity(self) -> str:
        admin = admin_client(self._params)
        asked = admin.describe_topics(
            TopicCollection([self._params.kafka.topic]), request_timeout=self._timeout
        )
        try:
            return str(asked[self._params.kafka.topic].result(self._timeout).topic_id)
        except KafkaException as error:
            raise ServiceError(unanswered(self._params, error)) from error


def unanswered(params: Params, error: object = None) -> str:
    """Return what to tell the user about a broker that does not answer."""
    server = client_config(params)["bootstrap.servers"]
    if isinstance(error, KafkaException) and error.args:
        error = error.args[0]
    reason = f" ({error.str()})" if isinstance(error, KafkaError) else ""
    return f"Kafka no responde en {server}{reason}; ejecuta «spotify-mlops up»."
