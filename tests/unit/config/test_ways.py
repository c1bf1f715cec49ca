"""What leaves this machine goes over TLS: any other way is refused before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spotify_mlops.config import params
from spotify_mlops.config.errors import ParamsError
from spotify_mlops.io import kafka

AWAY = "b1.example.org:9092"


def brokers(bootstrap: str, protocol: str, mechanism: str | None = None) -> dict[str, Any]:
    return {"kafka_bootstrap": bootstrap, "kafka_security_protocol": protocol,
            "kafka_sasl_mechanism": mechanism}  # fmt: skip


@pytest.mark.parametrize(
    ("bootstrap", "protocol", "mechanism"),
    [
        ("local", "PLAINTEXT", None),
        ("127.0.0.1:9092,[::1]:9093,localhost:9094", "PLAINTEXT", None),
        ("127.0.0.1:9092", "SASL_PLAINTEXT", "SCRAM-SHA-256"),
        (f"{AWAY}, b2.example.org:9092", "SASL_SSL", "OAUTHBEARER"),
        (AWAY, "SSL", None),
    ],
)
def test_these_ways_are_taken(bootstrap: str, protocol: str, mechanism: str | None) -> None:
    params.load("local", **brokers(bootstrap, protocol, mechanism))


@pytest.mark.parametrize(
    ("bootstrap", "protocol", "mechanism", "said"),
    [
        (AWAY, "PLAINTEXT", None, r"b1\.example\.org.*SSL o SASL_SSL, y es PLAINTEXT"),
        (AWAY, "SASL_PLAINTEXT", "PLAIN", "y es SASL_PLAINTEXT"),
        (f"127.0.0.1:9092,{AWAY}", "PLAINTEXT", None, "sale de esta máquina"),
        ("127.0.0.1.example.org:1", "PLAINTEXT", None, "sale de esta máquina"),
        ("[fe80::1]:9092", "PLAINTEXT", None, "sale de esta máquina"),
        (AWAY, "SASL_SSL", None, "kafka_sasl_mechanism no se dice"),
        (AWAY, "SSL", "OAUTHBEARER", "SASL_\\* pide uno, y los demás ninguno"),
        ("b1.example.org", "SSL", None, "kafka_bootstrap.*servidor:puerto"),
        ("b1.example.org:70000", "SSL", None, "servidor:puerto"),
        ("https://b1.example.org:9092", "SSL", None, "servidor:puerto"),
    ],
)
def test_these_are_refused(bootstrap: str, protocol: str, mechanism: str, said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        params.load("local", **brokers(bootstrap, protocol, mechanism))


@pytest.mark.parametrize(
    "name", ["bigquery_rest", "vertex", "secret_manager", "google_apis", "flink_rest"]
)
def test_a_service_elsewhere_is_not_asked_in_plain_text(name: str) -> None:
    for good in ("default", "https://api.example.org", "http://127.0.0.1:9050"):
        params.load("local", **{name: good})
    for bad in ("http://api.example.org", "http://10.0.0.7:9050", "http://127.0.0.1.example.org"):
        with pytest.raises(ParamsError, match=rf"{name}.*fuera, https://"):
            params.load("local", **{name: bad})
    with pytest.raises(ParamsError, match=rf"{name}.*debe ser"):
        params.load("local", **{name: "api.example.org:443"})


def test_an_authority_is_a_file_or_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = brokers(AWAY, "SSL")
    file = tmp_path / "ca.pem"
    with pytest.raises(ParamsError, match=r"kafka_ca.*no está en esta máquina.*secret://"):
        kafka.client_config(params.load("local", **way, kafka_ca=str(file)))
    file.write_text("x")
    found = kafka.client_config(params.load("local", **way, kafka_ca=str(file)))
    assert (found["ssl.ca.location"], "ssl.ca.pem" in found) == (str(file), False)
    monkeypatch.setenv("CA", "authority")
    found = kafka.client_config(params.load("local", **way, kafka_ca="env:CA"))
    assert (found["ssl.ca.pem"], "ssl.ca.location" in found) == ("authority", False)
    with pytest.raises(ParamsError, match=r"kafka_ca.*certificado entero"):
        params.load("local", **way, kafka_ca="-----BEGIN CERTIFICATE-----")
