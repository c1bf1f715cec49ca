"""To whom clients send the key of a local server, and what they say when it is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from loopback import Answering, serving
from spotify_mlops.config import params
from spotify_mlops.config.errors import ServiceError
from spotify_mlops.io import answering, bigquery, vertex
from spotify_mlops.io.local import secret, state

LISTEN = """
import os, socket, sys
os.setuid(65534)
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    sys.stdin.read()
"""


class Heard(ThreadingHTTPServer):
    """A server that keeps what authorization each request had, and answers with a status."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.authorizations: list[str | None] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(Answering, BaseHTTPRequestHandler):
    server: Heard

    def do_GET(self) -> None:
        self.server.authorizations.append(self.headers["authorization"])
        self.answer({}, self.server.status)


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "state"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def heard() -> Iterator[Heard]:
    with serving(Heard()) as server:
        yield server


def on_record(url: str) -> None:
    """Say in the state file that the local BigQuery and Vertex AI are there."""
    for name, addresses in (
        ("bigquery", {"rest": url, "grpc": url.removeprefix("http://")}),
        ("vertex", {"url": url}),
    ):
        state.put(
            state.Record(
                name=name,
                kind="service",
                pid=os.getpid(),
                identity=None,
                started=state.now(),
                log=None,
                ports={},
                addresses=addresses,
            )
        )


@pytest.mark.parametrize("service", ["bigquery", "vertex"])
def test_the_local_service_gets_its_own_key(heard: Heard, service: str) -> None:
    on_record(heard.url)
    answering.require(params.load("local"), service)
    assert heard.authorizations == [f"Bearer {secret.key(service)}"]


def test_no_other_address_gets_one(heard: Heard) -> None:
    on_record("http://127.0.0.1:9")
    elsewhere = params.load("local", bigquery_rest=heard.url, vertex=heard.url)
    answering.require(elsewhere, "bigquery", "vertex")
    assert heard.authorizations == [None, None]


@pytest.mark.parametrize("service", ["bigquery", "vertex"])
def test_a_key_that_is_refused_is_told(heard: Heard, service: str) -> None:
    on_record(heard.url)
    heard.status = 401
    with pytest.raises(ServiceError, match="no responde"):
        answering.require(params.load("local"), service)


@pytest.mark.parametrize("service", ["bigquery", "vertex"])
@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
def test_a_proxy_gets_none(
    heard: Heard, service: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_record("http://127.0.0.1:9")
    monkeypatch.setenv(variable, heard.url)
    with pytest.raises(ServiceError, match="no_proxy"):
        answering.require(params.load("local"), service)
    assert heard.authorizations == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="needs Linux's tables of sockets")
def test_another_user_s_server_gets_none() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LISTEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as thief:
        assert thief.stdin is not None and thief.stdout is not None
        on_record(f"http://127.0.0.1:{int(thief.stdout.readline())}")
        settings = params.load("local")
        for ask in (
            lambda: answering.require(settings, "bigquery"),
            lambda: answering.require(settings, "vertex"),
            lambda: bigquery.read_client(settings.bigquery),
            lambda: bigquery.write_client(settings.bigquery),
            lambda: vertex.sdk(settings),
        ):
            with pytest.raises(ServiceError, match="de otro usuario"):
                ask()
        thief.stdin.close()
