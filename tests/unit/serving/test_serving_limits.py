"""What the server refuses, what it survives, and what it counts: driven as ASGI, no sockets."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import tiny_model
from spotify_mlops.config.errors import IntegrityError, ServiceError
from spotify_mlops.io.mongo.store import OnlineStore
from spotify_mlops.model.predictor import Predictor
from spotify_mlops.serving import app as app_module
from spotify_mlops.serving import contract, limits
from spotify_mlops.serving.app import Endpoint, create_app
from spotify_mlops.serving.metrics import STATUSES, Metrics
from spotify_mlops.serving.models import Background, FixedModel

Message = dict[str, Any]
LOOKUP = {"country": "CO", "track_id": "t"}
WAIT = 30.0


@pytest.fixture(scope="module")
def bundle_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.result().write_bundle(tmp_path_factory.mktemp("bundle") / "1").path


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def app(bundle_dir: Path, metrics: Metrics) -> Endpoint:
    return create_app(FixedModel(str(bundle_dir)), lambda keys: {}, metrics)


def instance(bundle_dir: Path) -> dict[str, float]:
    return dict.fromkeys(Predictor.load(bundle_dir).features, 1.0)


def body_of(*instances: Any) -> bytes:
    return json.dumps({"instances": instances}).encode()


async def ask(
    app: Endpoint,
    *parts: bytes | Message,
    path: str = "/predict",
    method: str = "POST",
    headers: Mapping[bytes, bytes] | None = None,
) -> tuple[int | None, dict[bytes, bytes], Any]:
    """Send a request in parts; return status, headers and content of the answer, if there is one.

    A part that is a message is sent as it is; after the last part the client says nothing more.
    """
    messages: list[Message] = [
        part
        if isinstance(part, dict)
        else {"type": "http.request", "body": part, "more_body": part is not parts[-1]}
        for part in parts
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        if messages:
            return messages.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path, "method": method, "headers": [*(headers or {}).items()]}
    await asyncio.wait_for(app(scope, receive, send), WAIT)
    if not sent:
        return None, {}, None
    content = b"".join(message.get("body", b"") for message in sent[1:])
    given = dict(sent[0]["headers"])
    decoded = json.loads(content) if given[b"content-type"] == b"application/json" else content
    return sent[0]["status"], given, decoded


def test_nan_in_a_large_body_names_instance_and_field(app: Endpoint, bundle_dir: Path) -> None:
    good = instance(bundle_dir)
    for value in (float("nan"), float("inf"), float("-inf")):
        body = body_of(*[good] * 200, good | {"momentum": value})
        assert len(body) > contract.SMALL_BODY
        status, _, answer = asyncio.run(ask(app, body))
        assert (status, answer["error"]["instance"]) == (400, 200)
        assert answer["error"]["field"] == "momentum"
        assert answer["error"]["message"] == (
            "Instancia 200, campo «momentum»: debe ser un número finito."
        )


def test_a_large_body_that_came_in_parts(app: Endpoint, bundle_dir: Path) -> None:
    predictor = Predictor.load(bundle_dir)
    rows = tiny_model.data()[0].tail(500)
    body = body_of(*rows.select(predictor.features).to_dicts())
    half = len(body) // 2
    status, _, answer = asyncio.run(ask(app, body[:half], body[half:]))
    expected = predictor.predict(rows)
    assert status == 200
    assert [p["level"] for p in answer["predictions"]] == expected["level"].to_list()
    assert [p["score"] for p in answer["predictions"]] == expected["score"].to_list()


def test_one_lookup_question_a_request(bundle_dir: Path) -> None:
    good, asked = instance(bundle_dir), []

    def store(keys: Sequence[str]) -> Mapping[str, Any]:
        asked.append(keys)
        return {key: {"features": good} for key in keys}

    app = create_app(FixedModel(str(bundle_dir)), store)
    body = body_of(LOOKUP, good, LOOKUP | {"track_id": "u"})
    status, _, answer = asyncio.run(ask(app, body))
    assert status == 200
    assert answer["predictions"][0] == answer["predictions"][1] == answer["predictions"][2]
    assert asked == [["CO:t", "CO:u"]]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            b'{"instances": [{}]}' + b" " * limits.MAX_BODY,
            "La petición ocupa 16.777.235 bytes o más; el máximo es 16.777.216. "
            "Divida la petición.",
        ),
        (
            body_of(*[LOOKUP] * (contract.MAX_INSTANCES + 1)),
            "Hay 10.001 instancias; el máximo es 10.000. Divida la petición.",
        ),
        (
            body_of(*[LOOKUP] * 100_000),
            "Hay 100.000 instancias; el máximo es 10.000. Divida la petición.",
        ),
        (
            body_of({"name": "x" * contract.MAX_INSTANCE_BYTES}),
            "La instancia 0 ocupa 65.548 bytes; el máximo es 65.536.",
        ),
    ],
)
def test_too_much_is_413(app: Endpoint, given: bytes, says: str) -> None:
    status, _, answer = asyncio.run(ask(app, given[:1000], given[1000:]))
    assert (status, answer["error"]["status"]) == (413, "OUT_OF_RANGE")
    assert answer["error"]["message"] == says


def test_an_announced_body_that_is_too_large_is_not_read(app: Endpoint) -> None:
    size = str(limits.MAX_BODY + 1).encode()
    first = {"type": "http.request", "body": b"{", "more_body": True}
    status, _, _ = asyncio.run(ask(app, first, headers={b"content-length": size}))
    assert status == 413


def test_a_body_that_does_not_come(app: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.05)
    first = {"type": "http.request", "body": b"{", "more_body": True}
    status, _, answer = asyncio.run(ask(app, first))
    assert (status, answer["error"]["status"]) == (408, "DEADLINE_EXCEEDED")


def test_a_client_that_hangs_up(app: Endpoint, metrics: Metrics) -> None:
    gone = {"type": "http.disconnect"}
    first = {"type": "http.request", "body": b"{", "more_body": True}
    for parts in ([gone], [first, gone]):
        status, _, _ = asyncio.run(ask(app, *parts))
        assert status is None
    assert b'endpoint_requests_total{status="499"} 2.0' in metrics.text()
    assert b"endpoint_requests_under_way 0.0" in metrics.text()


def test_lookups_that_wait_let_others_be_answered_up_to_a_limit(
    bundle_dir: Path, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions: list[Sequence[str]] = []
    asked, answer = threading.Event(), threading.Event()

    def slow_store(keys: Sequence[str]) -> Mapping[str, Any]:
        questions.append(keys)
        asked.set()
        assert answer.wait(WAIT)
        return {}

    app = create_app(FixedModel(str(bundle_dir)), slow_store, metrics)
    monkeypatch.setattr(limits, "MAX_REQUESTS", 3)

    async def scenario() -> None:
        waiting = [asyncio.create_task(ask(app, body_of(LOOKUP)))]
        assert await asyncio.to_thread(asked.wait, WAIT)
        for name in ("u", "v"):
            waiting.append(asyncio.create_task(ask(app, body_of(LOOKUP | {"track_id": name}))))
        while b"endpoint_requests_under_way 3.0" not in metrics.text():
            await asyncio.sleep(0)
        assert (await ask(app, body_of(instance(bundle_dir))))[0] == 200
        status, headers, refused = await ask(app, body_of(LOOKUP))
        assert (status, headers[b"retry-after"]) == (429, b"1")
        assert refused["error"]["status"] == "RESOURCE_EXHAUSTED"
        answer.set()
        assert [(await task)[0] for task in waiting] == [404, 404, 404]

    asyncio.run(scenario())
    # What came while the first question was under way was asked in one.
    assert questions == [["CO:t"], ["CO:u", "CO:v"]]


def test_a_large_lookup_keeps_neither_batches_nor_lookups_waiting(bundle_dir: Path) -> None:
    asked, answer = threading.Event(), threading.Event()

    def store(keys: Sequence[str]) -> Mapping[str, Any]:
        if len(keys) > 1:
            asked.set()
            assert answer.wait(WAIT)
        return {}

    app = create_app(FixedModel(str(bundle_dir)), store)

    async def scenario() -> None:
        many = asyncio.create_task(ask(app, body_of(*[LOOKUP] * 1000)))
        assert await asyncio.to_thread(asked.wait, WAIT)
        batch = body_of(*[instance(bundle_dir)] * 200)
        assert len(batch) > contract.SMALL_BODY
        assert (await ask(app, batch))[0] == 200
        assert (await ask(app, body_of(LOOKUP)))[0] == 404
        answer.set()
        assert (await many)[2]["error"]["instance"] == 0

    asyncio.run(scenario())


def test_a_store_that_is_away_is_503_within_the_service_timeout(bundle_dir: Path) -> None:
    away = {"mongo_uri": "mongodb://127.0.0.1:9", "service_timeout": timedelta(seconds=0.5)}
    params = tiny_model.settings().replace(**away)
    app = create_app(FixedModel(str(bundle_dir)), OnlineStore(params))
    status, headers, answer = asyncio.run(ask(app, body_of(LOOKUP)))
    assert (status, headers[b"retry-after"]) == (503, b"1")
    assert answer["error"]["message"] == (
        "MongoDB no responde: no se pueden buscar canciones. Comprueba «spotify-mlops status» o "
        "envíe las variables en la petición."
    )


@pytest.mark.parametrize(
    ("path", "method", "status", "says"),
    [
        ("/predict", "GET", 405, "/predict solo atiende POST."),
        ("/nothing", "POST", 404, "No existe la ruta /nothing."),
    ],
)
def test_unknown_routes(app: Endpoint, path: str, method: str, status: int, says: str) -> None:
    found, _, answer = asyncio.run(ask(app, b"{}", path=path, method=method))
    assert (found, answer["error"]["message"]) == (status, says)


def test_an_unexpected_failure_is_500_and_logged(
    bundle_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(keys: Sequence[str]) -> Mapping[str, Any]:
        raise ZeroDivisionError("a fault of the code")

    app = create_app(FixedModel(str(bundle_dir)), broken)
    status, _, answer = asyncio.run(ask(app, body_of(LOOKUP)))
    assert (status, answer["error"]["status"]) == (500, "INTERNAL")
    assert "a fault of the code" in caplog.text


def test_healthy_only_when_the_model_has_answered(bundle_dir: Path, metrics: Metrics) -> None:
    go, stop = threading.Event(), threading.Event()

    def make() -> FixedModel:
        assert go.wait(WAIT)
        return FixedModel(str(bundle_dir))

    models = Background(make, metrics)
    app = create_app(models, lambda keys: {}, metrics)
    loader = threading.Thread(target=models.run, args=(stop,))
    loader.start()
    try:
        for path, method in (("/health", "GET"), ("/predict", "POST")):
            status, headers, answer = asyncio.run(
                ask(app, body_of(instance(bundle_dir)), path=path, method=method)
            )
            assert (status, headers[b"retry-after"]) == (503, b"1")
            assert answer["error"]["status"] == "UNAVAILABLE"
    finally:
        stop.set()
        go.set()
        loader.join()
    assert asyncio.run(ask(app, path="/health", method="GET"))[2]["model"] == "popularity@1"
    assert b'endpoint_model{model="popularity@1"} 1.0' in metrics.text()
    assert b'endpoint_model_loads_total{result="ok"} 1.0' in metrics.text()


def test_a_model_that_cannot_be_loaded_is_counted_and_the_last_goes_on(
    bundle_dir: Path, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    class Spoilt(FixedModel):
        def refresh(self) -> None:
            raise IntegrityError("model.onnx no tiene el SHA-256")

    models = Background(lambda: Spoilt(str(bundle_dir)), metrics)
    with pytest.raises(ServiceError):
        models.current()
    stop = threading.Event()
    stop.set()
    models.run(stop)
    models.refresh()
    assert models.current().name == "popularity@1"
    assert caplog.messages == [
        "El nuevo campeón no se puede cargar: model.onnx no tiene el SHA-256"
    ]
    assert b'endpoint_model_loads_total{result="error"} 1.0' in metrics.text()


def test_requests_are_counted_by_status(app: Endpoint, bundle_dir: Path) -> None:
    async def scenario() -> bytes:
        await ask(app, body_of(*[instance(bundle_dir)] * 3))
        await ask(app, b"no JSON")
        status, headers, text = await ask(app, path="/metrics", method="GET")
        assert status == 200
        assert headers[b"content-type"].startswith(b"text/plain")
        return text

    text = asyncio.run(scenario())
    assert b'endpoint_requests_total{status="200"} 1.0' in text
    assert b'endpoint_requests_total{status="400"} 1.0' in text
    assert b"endpoint_instances_total 3.0" in text
    assert b"endpoint_request_seconds_count 2.0" in text


def test_every_status_has_a_counter() -> None:
    assert {200, *app_module._CODES, app_module._CLIENT_GONE} == set(STATUSES)
