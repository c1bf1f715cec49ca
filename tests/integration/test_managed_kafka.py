"""Kafka as a cloud has it: behind TLS, with SCRAM or with Google's tokens."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tls_broker

from local_services.kafka import OWNER
from spotify_mlops import sources
from spotify_mlops.config import params
from spotify_mlops.config.errors import ParamsError, ServiceError
from spotify_mlops.config.params import Params
from spotify_mlops.io import answering, kafka, retry
from spotify_mlops.io.kafka import google_tokens

SMALL = {"simulator_events": 400, "simulator_days": 1, "simulator_tracks": 20, "partitions": 2}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("broker")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SPOTIFY_MLOPS_STATE", str(folder / "state"))
        patched.setenv("KAFKA_USERNAME", OWNER)
        patched.setenv("KAFKA_PASSWORD", tls_broker.scram_password())
        with tls_broker.running(folder) as (address, trusted):
            settings = _settings(address, trusted, "SCRAM-SHA-512")
            retry.again(
                lambda: answering.require(settings, "kafka"),
                lambda e: isinstance(e, ServiceError), 40, pause=0.2,
            )  # fmt: skip
            yield address, trusted


def _settings(address: str, trusted: Path | str, mechanism: str, topic: str = "x") -> Params:
    return params.load(
        "local", kafka_bootstrap=address, kafka_security_protocol="SASL_SSL",
        kafka_ca=str(trusted), kafka_sasl_mechanism=mechanism, topic=topic, service_timeout="20s",
        **SMALL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def _server() -> Iterator[tls_broker.Metadata]:
    with tls_broker.identified() as server:
        yield server


@pytest.fixture
def identity(_server: tls_broker.Metadata) -> tls_broker.Metadata:
    """Google's identity of this machine, of which no token was given yet."""
    google_tokens._credentials.cache_clear()
    _server.lifetime, _server.beginning, _server.given = 3600, tls_broker.BEGINNING, 0
    return _server


def _publish_and_read(settings: Params) -> None:
    sources.ingest_simulator(settings)
    ends = kafka.offsets(settings)
    assert sum(high - low for low, high in ends.values()) > 400
    with kafka.Extent(settings) as extent:
        assert extent.offsets() == ends


def test_scram_over_tls_with_an_authority_of_its_own(broker: tuple[str, Path]) -> None:
    address, trusted = broker
    _publish_and_read(_settings(address, trusted, "SCRAM-SHA-512", "scram"))


def test_the_authority_may_be_a_secret(
    broker: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, trusted = broker
    monkeypatch.setenv("CA", trusted.read_text())
    answering.require(_settings(address, "env:CA", "SCRAM-SHA-512"), "kafka")


def test_a_broker_that_nobody_vouches_for_is_given_nothing(broker: tuple[str, Path]) -> None:
    address, _ = broker
    alone = _settings(address, "x", "SCRAM-SHA-512").replace(kafka_ca=None)
    with pytest.raises(ServiceError, match=f"Kafka no responde en {address}"):
        answering.require(alone, "kafka")


def test_googles_identity_opens_a_managed_kafka(
    broker: tuple[str, Path], identity: tls_broker.Metadata
) -> None:
    _publish_and_read(_settings(*broker, "OAUTHBEARER", "google"))
    assert identity.given == 1  # one token serves all clients of a process while it holds
    token, until = google_tokens.token()
    header, claims, access = (
        base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split(".")
    )
    assert json.loads(header) == {"typ": "JWT", "alg": "GOOG_OAUTH2_TOKEN"}
    assert json.loads(claims)["sub"] == tls_broker.EMAIL
    assert json.loads(claims)["exp"] == until
    assert access.decode() == f"{tls_broker.BEGINNING}1"


def test_a_client_that_lives_longer_than_its_token_brings_another(
    broker: tuple[str, Path], identity: tls_broker.Metadata
) -> None:
    identity.lifetime = 5
    with kafka.Extent(_settings(*broker, "OAUTHBEARER", "google")) as extent:
        before = extent.offsets()
        began = time.time()

        def asked() -> bool:
            try:
                return extent.offsets() == before
            except ServiceError:  # the machine was busy for the last fifth of a token's life
                return False

        # The broker ends the connection of whoever has brought no other: three lives of a token.
        renewed = retry.until(lambda: asked() and time.time() > began + 15, bool, 90, pause=0.2)
        given, took = identity.given, time.time() - began
        assert renewed
    assert 3 <= given <= 3 + took


def test_an_identity_that_google_does_not_know_is_refused(
    broker: tuple[str, Path], identity: tls_broker.Metadata
) -> None:
    identity.beginning = "another-"
    with pytest.raises(ServiceError, match=r"Kafka no responde en"):
        answering.require(_settings(*broker, "OAUTHBEARER"), "kafka")


def test_without_credentials_of_googles_the_user_is_told(
    broker: tuple[str, Path], identity: tls_broker.Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _settings(*broker, "OAUTHBEARER")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")
    with pytest.raises(ParamsError, match="OAUTHBEARER y no hay credenciales de Google"):
        kafka.client_config(settings)
