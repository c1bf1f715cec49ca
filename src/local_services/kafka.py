"""Apache Kafka: one KRaft node (broker and controller), durable, on loopback, for its owner alone.

Both ports ask for SCRAM-SHA-512 with the state directory's secret. It is not PLAIN because who
takes the port of a broker that is down must not be given the secret by its clients.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spotify_mlops.config.progress import Progress, silent
from spotify_mlops.io import files
from spotify_mlops.io.http import ports
from spotify_mlops.io.kafka.clients import MECHANISM, OWNER, owner_settings
from spotify_mlops.io.local import health, secret, state

from . import compiling, jars
from .java import LOG_SOURCE, java, log4j, with_small_log

PORTS = ("broker", "controller")
_BROKER = "FormattedBroker"
"""The class that runs."""
_CREDENTIALS = "OwnerCredentials"
"""The class that the broker asks who its users are."""
HEALTH_TOPIC = "health"
"""What health checks write to; a few megabytes of the last ones are kept."""
_SMALL = {
    "retention.bytes": str(1024 * 1024),
    "segment.bytes": str(1024 * 1024),
    "segment.index.bytes": str(64 * 1024),
}
_PATIENCE = 2
"""Seconds for each answer to a health check."""
_JVM = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_INFORMATIVE = "kafka.server.KafkaRaftServer"
"""Says when the broker has started."""


def addresses(chosen: Mapping[str, int]) -> dict[str, str]:
    """Return what clients need: ``bootstrap``."""
    return {"bootstrap": f"{ports.HOST}:{chosen['broker']}"}


def classpath(progress: Progress = silent) -> list[Path]:
    """Return what the broker runs from, fetched and compiled once."""
    sources = (f"{_BROKER}.java", f"{_CREDENTIALS}.java", LOG_SOURCE)
    classes = compiling.compiled("kafka", *sources, progress=progress)
    return [classes, *jars.classpath("kafka", progress)]


def command(chosen: Mapping[str, int], progress: Progress) -> tuple[list[str], dict[str, str]]:
    """Write the configuration, and return argv and environment; the storage is formatted once."""
    home = state.folder("kafka")
    properties = home / "server.properties"
    files.replace(properties, _properties(home / "data", chosen).encode(), 0o600)
    (home / "log4j2.properties").write_text(log4j(_INFORMATIVE), encoding="utf-8")
    meta = home / "data" / "meta.properties"
    argv = [
        str(java()),
        *_JVM,
        f"-Dlog4j2.configurationFile={home / 'log4j2.properties'}",
        "-cp",
        ":".join(str(part) for part in classpath(progress)),
        *with_small_log(_BROKER, str(properties), str(meta)),
    ]
    return argv, {}


def is_ready(chosen: Mapping[str, int]) -> bool:
    """Write a record to a topic of the broker's own and read it.

    Raises:
        BrokenError: the broker cannot write to its disk.
    """
    if not ports.listens(chosen["broker"]):
        return False
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient, NewTopic

    where: dict[str, Any] = {"bootstrap.servers": addresses(chosen)["bootstrap"], "log_level": 0}
    where |= owner_settings()
    client = AdminClient(where)
    try:
        known = client.list_topics(timeout=_PATIENCE)
        if known.brokers and HEALTH_TOPIC not in known.topics:
            topic = NewTopic(HEALTH_TOPIC, 1, 1, config=_SMALL)
            client.create_topics([topic])[HEALTH_TOPIC].result(_PATIENCE)
        return bool(known.brokers) and _takes_a_record(where)
    except KafkaException as failure:
        error = failure.args[0]
        if error.code() == error.KAFKA_STORAGE_ERROR:
            raise health.BrokenError(error.str()) from failure
        return False


def _takes_a_record(where: dict[str, Any]) -> bool:
    from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

    told: list[tuple[Any, Message]] = []
    producer = Producer(where | {"acks": "all", "message.timeout.ms": _PATIENCE * 1000})
    token = uuid.uuid4().bytes
    producer.produce(HEALTH_TOPIC, token, on_delivery=lambda *answer: told.append(answer))
    producer.flush(2 * _PATIENCE)
    if not told:
        return False
    error, record = told[0]
    if error is not None:
        raise KafkaException(error)
    partition, offset = record.partition(), record.offset()
    assert partition is not None and offset is not None  # it was delivered
    consumer = Consumer(where | {"group.id": HEALTH_TOPIC, "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(HEALTH_TOPIC, partition, offset)])
        found = consumer.poll(_PATIENCE)
        return found is not None and found.error() is None and found.value() == token
    finally:
        consumer.close()


def _properties(data: Path, chosen: Mapping[str, int]) -> str:
    broker, controller = chosen["broker"], chosen["controller"]
    settings: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{ports.HOST}:{controller}",
        "listeners": f"BROKER://{ports.HOST}:{broker},CONTROLLER://{ports.HOST}:{controller}",
        "advertised.listeners": f"BROKER://{ports.HOST}:{broker}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "BROKER",
        "listener.security.protocol.map": "BROKER:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
        "sasl.enabled.mechanisms": MECHANISM,
        "sasl.mechanism.inter.broker.protocol": MECHANISM,
        "sasl.mechanism.controller.protocol": MECHANISM,
        "log.dirs": data,
        "auto.create.topics.enable": "false",
        # Old and early event times are accepted, and retention counts from arrival: nothing
        # that was replayed into the log may be deleted by its age.
        "log.message.timestamp.type": "LogAppendTime",
        "log.retention.ms": -1,
        "log.retention.bytes": -1,
        "message.max.bytes": 8 * 1024 * 1024,
        "replica.fetch.max.bytes": 8 * 1024 * 1024,
        # One node
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        # Back soon after kill -9: the controller forgets the old session quickly.
        "broker.session.timeout.ms": 2000,
        "broker.heartbeat.interval.ms": 500,
        # Small: fewer files and threads, and a cleaner buffer that fits the heap.
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.num.partitions": 4,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
    }
    login = (
        "org.apache.kafka.common.security.scram.ScramLoginModule required "
        f'username="{OWNER}" password="{secret.key("kafka")}";'
    )
    for listener in ("broker", "controller"):
        prefix = f"listener.name.{listener}.{MECHANISM.lower()}.sasl."
        settings |= {
            f"{prefix}jaas.config": login,
            f"{prefix}server.callback.handler.class": _CREDENTIALS,
        }
    return "".join(f"{key}={value}\n" for key, value in settings.items())
