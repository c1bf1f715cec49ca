"""The topic itself: making it, and what it holds."""

from __future__ import annotations

import functools
from typing import Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from ...config.errors import ServiceError
from ...config.params import Params
from ...config.references import LOCAL
from .. import retry
from .clients import client_config
from .topics import topics

_ASK_AGAIN_SECONDS = 0.02
_REACH_SECONDS = 10.0


def ensure_topic(params: Params) -> None:
    """Make the topics of the params (`topics`), if they are not there.

    Raises:
        ServiceError: the broker does not answer, or the topic has other partitions.
    """
    replication = 1 if params.kafka.bootstrap == LOCAL else -1
    admin = admin_client(params)
    wanted = [
        NewTopic(topic.name, topic.partitions, replication, config=dict(topic.config))
        for topic in topics(params)
    ]
    create_topics(params, admin, wanted)
    found = len(_partitions(admin, params))
    if found != params.kafka.partitions:
        raise ServiceError(
            f"El tema {params.kafka.topic} tiene {found} particiones y «partitions» es "
            f"{params.kafka.partitions}. Usa otro nombre de tema o el número que tiene."
        )


def admin_client(params: Params) -> AdminClient:
    """Return an administrator of the broker that logs errors only."""
    return AdminClient(client_config(params) | {"log_level": 2})


def create_topics(params: Params, admin: AdminClient, wanted: list[NewTopic]) -> None:
    """Make the topics that are not there; returns when each partition has its leader.

    Of one that is there nothing is asked but whether it is: who uses it may not make any.

    Raises:
        ServiceError: the broker does not answer or refuses.
    """
    timeout = params.stream.service_timeout.total_seconds()
    present = _present(params, admin)
    missing = [topic for topic in wanted if topic.topic not in present]
    asked = admin.create_topics(missing, operation_timeout=30) if missing else {}
    for name, future in asked.items():
        try:
            future.result(timeout=timeout)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise _failed(params, f"no se pudo crear {name}", error) from error
    # A topic is made before the broker's metadata tells of it, and nothing announces that it
    # does: until then a client is told that there is no such partition.
    for topic in wanted:
        leads = functools.partial(_has_leaders, params, admin, topic.topic)
        if not retry.until(leads, bool, timeout, _ASK_AGAIN_SECONDS):
            raise ServiceError(f"El tema {topic.topic} no tiene líder: mira los logs de Kafka.")


def offsets(params: Params) -> dict[int, tuple[int, int]]:
    """Return per partition its first offset and the one after its last record.

    Raises:
        ServiceError: the broker does not answer, or there is no such topic.
    """
    with Extent(params) as extent:
        return extent.offsets()


class Extent:
    """What a topic holds, for whoever asks again and again: the connection stays."""

    def __init__(self, params: Params) -> None:
        self._params = params
        self._consumer = Consumer(
            client_config(params)
            | {"group.id": f"{params.profile}-offsets", "enable.auto.commit": False}
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._consumer.close()

    def offsets(self) -> dict[int, tuple[int, int]]:
        """Return what ``offsets`` does, now."""
        topic = self._params.kafka.topic
        timeout = self._params.stream.service_timeout.total_seconds()
        try:
            return {
                partition: extent_of(self._consumer, TopicPartition(topic, partition), timeout)
                for partition in _partitions(self._consumer, self._params)
            }
        except KafkaException as error:
            raise _failed(self._params, "no se pudo preguntar por sus registros", error) from error


def extent_of(consumer: Consumer, place: TopicPartition, timeout: float) -> tuple[int, int]:
    """Ask for a partition's extent, again while the broker is still taking it over.

    Its metadata tells of a new one that it leads before it does so. A broker ends connections
    too, of who was silent for long or whose token is over: what was asked on it is asked on the
    next. The consumer is polled, so that it must have nothing assigned: a record that comes
    would be lost.

    Raises:
        KafkaException: it does not say it in ``timeout`` seconds.
    """

    def ask() -> tuple[int, int]:
        consumer.poll(0)  # serves the client, which asks for who leads now
        return consumer.get_watermark_offsets(place, timeout=timeout)

    def passing(error: Exception) -> bool:
        return isinstance(error, KafkaException) and error.args[0].code() in (
            KafkaError.NOT_LEADER_FOR_PARTITION,
            KafkaError.LEADER_NOT_AVAILABLE,
            KafkaError._UNKNOWN_PARTITION,  # it was listed a moment ago
            KafkaError._TRANSPORT,
        )

    return retry.again(ask, passing, timeout, pause=_ASK_AGAIN_SECONDS)


def _present(params: Params, admin: AdminClient) -> set[str]:
    """Return the topics that are there; asked for a shorter time than a slow operation may take."""
    try:
        patience = min(params.stream.service_timeout.total_seconds(), _REACH_SECONDS)
        return set(admin.list_topics(timeout=patience).topics)
    except KafkaException as error:
        raise _failed(params, "no responde", error) from error


def _has_leaders(params: Params, admin: AdminClient, name: str) -> bool:
    try:
        found = admin.list_topics(name, timeout=params.stream.service_timeout.total_seconds())
    except KafkaException as error:
        raise _failed(params, "no responde", error) from error
    partitions = found.topics[name].partitions.values()
    return bool(partitions) and all(item.error is None and item.leader >= 0 for item in partitions)


def _partitions(client: AdminClient | Consumer, params: Params) -> list[int]:
    timeout = params.stream.service_timeout.total_seconds()
    try:
        found = client.list_topics(params.kafka.topic, timeout=timeout).topics[params.kafka.topic]
    except KafkaException as error:
        raise _failed(params, "no responde", error) from error
    if found.error is not None:
        raise ServiceError(
            f"No existe el tema {params.kafka.topic}. Publica eventos con «spotify-mlops ingest»."
        )
    return sorted(found.partitions)


def _failed(params: Params, what: str, error: KafkaException) -> ServiceError:
    server = client_config(params)["bootstrap.servers"]
    reason = error.args[0].str() if error.args else str(error)
    return ServiceError(
        f"Kafka en {server}, tema {params.kafka.topic}: {what} ({reason}). "
        "Ejecuta «spotify-mlops up» o mira «spotify-mlops status»."
    )
