"""The guard before the HTTP servers, and when the prediction server has one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from spotify_mlops.io.http import guard
from spotify_mlops.io.http.browsers import Rule
from spotify_mlops.io.http.guard import Guard
from spotify_mlops.io.local import secret
from spotify_mlops.serving.server import guarded

KEY = "7" * 64
JSON = {"content-type": "application/json"}
WITH_KEY = {"authorization": f"Bearer {KEY}"}


async def echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(await request.body())


APP = Starlette(routes=[Route("/{path}", echo, methods=["GET", "POST"])])


def client(app: Any, host: str = "127.0.0.1:8080") -> TestClient:
    return TestClient(app, base_url=f"http://{host}")


@pytest.fixture
def asked() -> Iterator[TestClient]:
    guard_ = Guard(APP, "vertex", KEY, Rule(), frozenset({"/health"}))
    with client(guard_) as ready:  # the app's start and end pass
        yield ready


def test_the_key_opens_and_the_body_passes(asked: TestClient) -> None:
    answer = asked.post("/predict", headers=JSON | WITH_KEY, content=b"[1]")
    assert (answer.status_code, answer.content) == (200, b"[1]")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": KEY},
        {"authorization": f"Basic {KEY}"},
        {"authorization": "Bearer " + "8" * 64},
        {"authorization": f"Bearer {KEY[:-1]}"},
        {"authorization": f"Bearer {KEY}x"},
        {"authorization": "Bearer ñ".encode("latin-1")},
    ],
)
def test_nothing_else_does(asked: TestClient, headers: dict[str, Any]) -> None:
    answer = asked.post("/predict", headers=JSON | headers, content=b"[1]")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    error = answer.json()["error"]
    assert (error["code"], error["status"]) == (401, "UNAUTHENTICATED")
    assert error["message"] == (
        "Falta la clave de este servidor, o no es la suya: envía «Authorization: Bearer» con lo "
        "que dice «spotify-mlops token vertex»."
    )
    assert KEY not in answer.text


def test_an_open_path_needs_no_key_and_is_no_page_s_either(asked: TestClient) -> None:
    assert asked.get("/health").status_code == 200
    assert asked.get("/healthy").status_code == 401
    assert asked.get("/health", headers={"origin": "https://evil.example"}).status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"host": "evil.example"}, 403),
        ({"content-type": "text/plain"}, 415),
    ],
)
def test_the_key_opens_nothing_to_a_web_page(
    asked: TestClient, headers: dict[str, str], status: int
) -> None:
    answer = asked.post("/predict", headers=JSON | WITH_KEY | headers, content=b"[1]")
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == status


def test_a_second_host_is_refused() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("a refused body is not read")

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "headers": [
            (b"host", b"127.0.0.1"),
            (b"host", b"evil.example"),
            (b"authorization", f"Bearer {KEY}".encode()),
        ],
    }
    asyncio.run(Guard(APP, "vertex", KEY, Rule(), frozenset())(scope, receive, send))
    assert sent[0]["status"] == 403


def test_no_web_socket_is_opened(asked: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), asked.websocket_connect("ws://127.0.0.1/x"):
        pass


class TestServing:
    """The prediction server asks for the owner's key on loopback, or for the one it was given."""

    @pytest.fixture(autouse=True)
    def _own_state(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "state"))
        monkeypatch.delenv(guard.VARIABLE, raising=False)

    def status(self, app: Any, host: str = "127.0.0.1", **headers: str) -> int:
        return client(app, host).post("/predict", headers=JSON | headers, content=b"1").status_code

    def test_on_loopback_for_the_owner_s(self) -> None:
        app = guarded(APP, "127.0.0.1")
        assert self.status(app) == 401
        assert self.status(app, authorization=f"Bearer {secret.key('vertex')}") == 401
        assert self.status(app, authorization=f"Bearer {secret.key('serving')}") == 200

    def test_for_the_one_that_it_is_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(guard.VARIABLE, KEY)
        for host in ("127.0.0.1", "0.0.0.0"):
            assert self.status(guarded(APP, host)) == 401
            assert self.status(guarded(APP, host), **WITH_KEY) == 200
        assert self.status(guarded(APP, "0.0.0.0"), "serving.example", **WITH_KEY) == 200
        assert self.status(guarded(APP, "127.0.0.1"), "serving.example", **WITH_KEY) == 403

    def test_for_none_in_a_container_where_the_platform_decides(self, tmp_path: Path) -> None:
        assert guarded(APP, "0.0.0.0") is APP
        assert not (tmp_path / "state").exists()

    def test_health_is_everybody_s(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert client(guarded(APP, "127.0.0.1")).get("/health").status_code == 200
        monkeypatch.setenv("AIP_HEALTH_ROUTE", "/alive")
        assert client(guarded(APP, "127.0.0.1")).get("/health").status_code == 401
        assert client(guarded(APP, "127.0.0.1")).get("/alive").status_code == 200
