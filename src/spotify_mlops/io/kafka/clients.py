"""What every confluent-kafka client of the log starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...config import secrets
from ...config.errors import ParamsError
from ...config.params import Params
from ...config.references import LOCAL, is_reference
from ..addresses import PING_SECONDS, address, unreachable
from ..local import secret
from . import google_tokens

MECHANISM = "SCRAM-SHA-512"
"""How clients of the local broker say who they are."""
OWNER = "owner"
"""The local broker's one user."""


def client_config(params: Params) -> dict[str, Any]:
    """Return what every confluent-kafka client of this log starts from.

    For the local broker user and password are the state directory's own.

    Raises:
        ParamsError: user, password or authorities are not where the params say, or there is no
            Google identity.
        ServiceError: Secret Manager or Google's tokens do not answer.
    """
    config: dict[str, Any] = {
        "bootstrap.servers": address(params.kafka.bootstrap, "kafka", "bootstrap"),
        "security.protocol": params.kafka.security_protocol,
        "log_level": 2,  # failures reach the caller; librdkafka's own lines are noise
    }
    if params.kafka.bootstrap == LOCAL:
        return config | owner_settings()
    return config | _trust(params) | _identity(params)


def _trust(params: Params) -> dict[str, Any]:
    """Return whom a client believes that a broker is who it says."""
    ca = params.kafka.ca
    if ca is None or not params.kafka.security_protocol.endswith("SSL"):
        return {}
    if is_reference(ca):
        return {"ssl.ca.pem": secrets.resolve(params, "kafka_ca")}
    if not Path(ca).is_file():
        raise ParamsError(
            f"kafka_ca es «{ca}», y ese archivo no está en esta máquina: en otra (un contenedor, "
            "un trabajador de Beam) di secret://NOMBRE."
        )
    return {"ssl.ca.location": ca}


def _identity(params: Params) -> dict[str, Any]:
    """Return by what a client says who it is."""
    mechanism = params.kafka.sasl_mechanism
    if mechanism is None:
        return {}
    if mechanism == "OAUTHBEARER":
        google_tokens.token()  # in librdkafka a failure has no words for the user
        return {"sasl.mechanism": mechanism, "oauth_cb": google_tokens.token}
    return {
        "sasl.mechanism": mechanism,
        "sasl.username": secrets.resolve(params, "kafka_username"),
        "sasl.password": secrets.resolve(params, "kafka_password"),
    }


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
