"""Apache Kafka: one KRaft node (broker and controller), durable, on loopback."""

from __future__ import annotations

import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path

from ..errors import ServiceError
from . import cache, jars, ports, state
from .java import java

PORTS = ("broker", "controller")
_JVM = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_LOG4J = """\
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %m (%c{1})%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=info
"""


def addresses(chosen: Mapping[str, int]) -> dict[str, str]:
    """Return what clients need: ``bootstrap``."""
    return {"bootstrap": f"{ports.HOST}:{chosen['broker']}"}


def command(
    chosen: Mapping[str, int], progress: cache.Progress
) -> tuple[list[str], dict[str, str]]:
    """Write the configuration, format the storage once, and return argv and environment.

    Raises:
        ServiceError: the storage cannot be formatted.
    """
    home = state.folder("kafka")
    classpath = ":".join(str(jar) for jar in jars.classpath("kafka", progress))
    properties = home / "server.properties"
    properties.write_text(_properties(home / "data", chosen), encoding="utf-8")
    (home / "log4j2.properties").write_text(_LOG4J, encoding="utf-8")
    base = [
        str(java()),
        *_JVM,
        f"-Dlog4j2.configurationFile={home / 'log4j2.properties'}",
        "-cp",
        classpath,
    ]
    if not (home / "data" / "meta.properties").is_file():
        _format(base, properties)
    return [*base, "kafka.Kafka", str(properties)], {}


def is_ready(chosen: Mapping[str, int]) -> bool:
    """Ask the broker for the cluster's metadata."""
    if not ports.listens(chosen["broker"]):
        return False
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    client = AdminClient({"bootstrap.servers": addresses(chosen)["bootstrap"], "log_level": 0})
    try:
        return bool(client.list_topics(timeout=2).brokers)
    except KafkaException:
        return False


def _format(base: list[str], properties: Path) -> None:
    # Given as one argument: one id in 64 begins with a dash, and would be taken for an option.
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    done = subprocess.run(
        [
            *base,
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={cluster}",
            "-c",
            str(properties),
        ],
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise ServiceError(
            f"Kafka no pudo preparar su carpeta de datos: {(done.stderr or done.stdout)[-500:]}"
        )


def _properties(data: Path, chosen: Mapping[str, int]) -> str:
    broker, controller = chosen["broker"], chosen["controller"]
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{ports.HOST}:{controller}",
        "listeners": f"PLAINTEXT://{ports.HOST}:{broker},CONTROLLER://{ports.HOST}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{ports.HOST}:{broker}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
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
    return "".join(f"{key}={value}\n" for key, value in settings.items())
