"""Secrets are read where they are used: from the environment, or from Secret Manager."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from spotify_mlops.config import params, secrets
from spotify_mlops.config.errors import IntegrityError, ParamsError, ServiceError
from spotify_mlops.io import kafka, mongo
from vault import Vault, running

SASL = {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "PLAIN",
        "kafka_bootstrap": "broker.example.org:9092"}  # fmt: skip


@pytest.fixture
def vault() -> Iterator[Vault]:
    with running() as server:
        yield server


def test_a_variable_is_read_at_use(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = params.load("local", **SASL)
    monkeypatch.setenv("KAFKA_USERNAME", "me")
    for value in ("first", "second"):
        monkeypatch.setenv("KAFKA_PASSWORD", value)
        config = kafka.client_config(settings)
        assert (config["sasl.username"], config["sasl.password"]) == ("me", value)
    other = settings.replace(kafka_password="env:OTHER")
    monkeypatch.setenv("OTHER", "third")
    assert kafka.client_config(other)["sasl.password"] == "third"


def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_PASSWORD", raising=False)
    monkeypatch.setenv("KAFKA_USERNAME", "me")
    with pytest.raises(ParamsError, match=r"Falta .* KAFKA_PASSWORD, que dice «kafka_password»"):
        kafka.client_config(params.load("local", **SASL))


def test_a_mongo_address_is_a_secret_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGO_URI", "mongodb://u:p4ss@127.0.0.1:9/?appName=x")
    settings = params.load(
        "local", mongo_uri="env:MONGO_URI", sink_deadline="100ms", service_timeout="1s"
    )
    with mongo.client(settings) as client:
        assert client.options.pool_options._credentials.password == "p4ss"
        assert "p4ss" not in repr(client)


@pytest.mark.parametrize(
    ("reference", "resource"),
    [
        ("secret://db", "projects/p1/secrets/db/versions/latest"),
        ("secret://db/7", "projects/p1/secrets/db/versions/7"),
        ("secret://p2/db/latest", "projects/p2/secrets/db/versions/latest"),
    ],
)
def test_secret_manager_is_asked_by_its_client(vault: Vault, reference: str, resource: str) -> None:
    vault.values[resource] = "contraseña".encode()
    settings = vault.params.replace(kafka_password=reference)
    assert secrets.resolve(settings, "kafka_password") == "contraseña"
    assert secrets.resolve(settings, "kafka_password") == "contraseña"
    assert vault.asked == [resource]


def test_what_secret_manager_refuses_is_an_error_that_says_which(vault: Vault) -> None:
    for reference, error in (("secret://none", ParamsError), ("secret://forbidden", ServiceError)):
        settings = vault.params.replace(kafka_password=reference)
        with pytest.raises(error, match=reference.removeprefix("secret://")):
            secrets.resolve(settings, "kafka_password")
    name = "projects/p1/secrets/db/versions/latest"
    settings = vault.params.replace(kafka_password="secret://db")
    vault.values[name], vault.spoilt = b"value", True
    with pytest.raises(IntegrityError, match="CRC"):
        secrets.resolve(settings, "kafka_password")
    vault.values[name], vault.spoilt = b"\xff", False
    with pytest.raises(ParamsError, match="UTF-8"):
        secrets.resolve(settings, "kafka_password")


def test_a_process_is_given_the_variables_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "p")
    monkeypatch.setenv("MONGO_URI", "m")
    monkeypatch.delenv("KAFKA_USERNAME", raising=False)
    settings = params.load("local", mongo_uri="env:MONGO_URI")
    assert secrets.variables(settings, "kafka_username", "kafka_password") == {
        "KAFKA_PASSWORD": "p"
    }
    assert secrets.variables(settings, "mongo_uri") == {"MONGO_URI": "m"}
    assert secrets.variables(params.load("local"), "mongo_uri") == {}
