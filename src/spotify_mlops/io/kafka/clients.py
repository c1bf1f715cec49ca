"""What every confluent-kafka client of the log starts from."""

from __future__ import annotations

from typing import Any

from ...config import secrets
from ...config.params import Params
from ...config.references import LOCAL
from ..addresses import PING_SECONDS, address, unreachable
from ..local import secret

MECHANISM = "SCRAM-SHA-512"
"""How clients of the local broker say who they are."""
OWNER = "owner"
"""The local broker's one user."""


def client_config(params: Params) -> dict[str, Any]:
    """Return what every confluent-kafka client of this log starts from.

    For the local broker user and password are the state directory's own.

    Raises:
        ParamsError, ServiceError: user or password are not where the params say.
    """
    config: dict[str, Any] = {
        "bootstrap.servers": address(params.kafka.bootstrap, "kafka", "bootstrap"),
        "security.protocol": params.kafka.security_protocol,
        "log_level": 2,  # failures reach the caller; librdkafka's own lines are noise
    }
    if params.kafka.bootstrap == LOCAL:
        return config | owner_settings()
    if params.kafka.sasl_mechanism:
        config["sasl.mechanism"] = params.kafka.sasl_mechanism
    if params.kafka.sasl_mechanism in ("PLAIN", "SCRAM-SHA-512"):
        config["sasl.username"] = secrets.resolve(params, "kafka_username")
        config["sasl.password"] = secrets.resolve(params, "kafka_password")
    return config


def owner_settings() -> dict[str, Any]:
    """Return what a confluent-kafka client of the local broker needs besides its address.

    Raises:
        UserError: the state directory's secret cannot be read.
    """
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": MECHANISM,
        "sasl.username": OWNER,
        "sasl.password": secret.key("kafka"),
    }


def ping(params: Params) -> None:
    """Ask the brokers something.

    Raises:
        ServiceError: they do not answer.
    """
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    config = client_config(params)
    try:
        AdminClient({**config, "log_level": 0}).list_topics(timeout=PING_SECONDS)
    except KafkaException as error:
        raise unreachable("Kafka", config["bootstrap.servers"], error) from error
