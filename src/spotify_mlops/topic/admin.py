"""The topic itself: making it, and what it holds."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from .. import clients
from ..errors import ServiceError
from ..params import LOCAL, Params

_MAX_RECORD_BYTES = 8 << 20


def ensure_topic(params: Params) -> None:
    """Make the topic of the params, and that of its dead letters, if they are not there.

    Append time is the topic's time (`LogAppendTime`): an old event time neither expires a record
    nor is refused.

    Raises:
        ServiceError: the broker does not answer, or the topic has other partitions.
    """
    config = {
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(_MAX_RECORD_BYTES),
    }
    if params.kafka_bootstrap == LOCAL:
        config["retention.ms"] = "-1"
    replication = 1 if params.kafka_bootstrap == LOCAL else -1
    admin = AdminClient(clients.kafka_config(params))
    wanted = [
        NewTopic(params.topic, params.partitions, replication, config=config),
        NewTopic(f"{params.topic}-dead-letters", 1, replication, config=config),
    ]
    for name, future in admin.create_topics(wanted, operation_timeout=30).items():
        try:
            future.result(timeout=params.service_timeout.total_seconds())
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise _failed(params, f"no se pudo crear {name}", error) from error
    found = len(_partitions(admin, params))
    if found != params.partitions:
        raise ServiceError(
            f"El tema {params.topic} tiene {found} particiones y «partitions» es "
            f"{params.partitions}. Usa otro nombre de tema o el número que tiene."
        )


def offsets(params: Params) -> dict[int, tuple[int, int]]:
    """Return per partition its first offset and the one after its last record.

    Raises:
        ServiceError: the broker does not answer, or there is no such topic.
    """
    timeout = params.service_timeout.total_seconds()
    consumer = Consumer(
        clients.kafka_config(params)
        | {"group.id": f"{params.profile}-offsets", "enable.auto.commit": False}
    )
    try:
        return {
            partition: consumer.get_watermark_offsets(
                TopicPartition(params.topic, partition), timeout=timeout
            )
            for partition in _partitions(consumer, params)
        }
    except KafkaException as error:
        raise _failed(params, "no se pudo preguntar por sus registros", error) from error
    finally:
        consumer.close()


def _partitions(client: AdminClient | Consumer, params: Params) -> list[int]:
    timeout = params.service_timeout.total_seconds()
    try:
        found = client.list_topics(params.topic, timeout=timeout).topics[params.topic]
    except KafkaException as error:
        raise _failed(params, "no responde", error) from error
    if found.error is not None:
        raise ServiceError(
            f"No existe el tema {params.topic}. Publica eventos con «spotify-mlops ingest»."
        )
    return sorted(found.partitions)


def _failed(params: Params, what: str, error: KafkaException) -> ServiceError:
    server = clients.kafka_config(params)["bootstrap.servers"]
    reason = error.args[0].str() if error.args else str(error)
    return ServiceError(
        f"Kafka en {server}, tema {params.topic}: {what} ({reason}). Mira «spotify-mlops status»."
    )
