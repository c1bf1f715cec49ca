"""The ASGI app: health, metrics, Vertex's predict route, the REST route of its client.

Plain ASGI without a framework: a request for one row takes less time here than a router and its
middleware would. Such a request is answered on the event loop; whatever takes longer, a large
body or a question to the store, is handed to a thread.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec
import numpy as np

from ..config.errors import UserError
from ..io.mongo.store import Questions, Store
from ..model.predictor import Predictor
from . import contract, limits
from .contract import Asked, Form, Prediction, RequestError
from .metrics import CONTENT_TYPE, Metrics
from .models import ModelSource

HEALTH_ROUTE = "/health"
PREDICT_ROUTE = "/predict"
METRICS_ROUTE = "/metrics"
REST_ROUTE = re.compile(r"/v1/(projects/[^/]+/locations/[^/]+)/endpoints/[^/]+:predict")

T = TypeVar("T")
Scope = MutableMapping[str, Any]
Send = Callable[[limits.Message], Awaitable[None]]

_log = logging.getLogger(__name__)

_CODES = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 405: "INVALID_ARGUMENT",
          408: "DEADLINE_EXCEEDED", 409: "FAILED_PRECONDITION", 413: "OUT_OF_RANGE",
          429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE"}  # fmt: skip
_JSON = b"application/json"
_encode = msgspec.json.Encoder().encode
_BLOCK = 4096
"""Rows given to the model at a time."""
_FEW_ROWS = 32
"""That are answered on the event loop."""
_CLIENT_GONE = 499


class Answer(msgspec.Struct):
    """What Vertex AI expects of a container."""

    predictions: list[Prediction]


class RestAnswer(msgspec.Struct, rename="camel"):
    """What Vertex AI's own endpoint answers: ``PredictResponse`` in JSON."""

    predictions: list[Prediction]
    deployed_model_id: str
    model: str
    model_display_name: str
    model_version_id: str


def create_app(models: ModelSource, store: Store, metrics: Metrics | None = None) -> Endpoint:
    """Return the server's app.

    Args:
        models: gives the model that answers.
        store: the online feature store, asked from a thread for instances that name a track.
        metrics: where to count.

    The environment variables ``AIP_HEALTH_ROUTE`` and ``AIP_PREDICT_ROUTE`` name the routes.
    """
    return Endpoint(models, store, metrics or Metrics())


class Endpoint:
    """The app. Its state belongs to the event loop."""

    def __init__(self, models: ModelSource, store: Store, metrics: Metrics) -> None:
        """Keep the parts; see `create_app`."""
        self._models = models
        self._questions = Questions(store)
        self._metrics = metrics
        self._gate = limits.Gate(metrics.wait)
        metrics.watch_model(self._model_name)
        self._routes = {
            os.environ.get("AIP_PREDICT_ROUTE", PREDICT_ROUTE): self._predict,
            os.environ.get("AIP_HEALTH_ROUTE", HEALTH_ROUTE): self._health,
            METRICS_ROUTE: self._show_metrics,
        }
        self._served: _Served | None = None
        # One core stays with the event loop.
        self._batches = ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1), "batch")

    async def __call__(self, scope: Scope, receive: limits.Receive, send: Send) -> None:
        """Answer one request."""
        assert scope["type"] == "http"
        path = scope["path"]
        handler = self._routes.get(path)
        if handler is not None:
            await handler(scope, receive, send)
        elif rest := REST_ROUTE.fullmatch(path):
            await self._predict(scope, receive, send, rest[1])
        else:
            await self._refuse(send, RequestError(f"No existe la ruta {path}.", status=404))

    async def _predict(
        self, scope: Scope, receive: limits.Receive, send: Send, parent: str | None = None
    ) -> None:
        """Answer ``{"instances": [...]}``, as a container or (``parent``) as the platform."""
        began = time.perf_counter()
        try:
            if scope["method"] != "POST":
                raise RequestError(f"{scope['path']} solo atiende POST.", status=405)
            first = await receive()
            if first.get("more_body", False):
                limits.check_size(_announced(scope))
            body = await limits.read_body(first, receive, self._gate)
            content, instances = await self._answer(self._serving(parent), body)
            await _send(send, 200, content)
        except limits.HangupError:
            self._metrics.refused(_CLIENT_GONE, time.perf_counter() - began)
        except Exception as error:
            status = await self._refuse(send, error)
            self._metrics.refused(status, time.perf_counter() - began)
        else:
            self._metrics.answered(instances, time.perf_counter() - began)

    async def _answer(self, served: _Served, body: bytes | bytearray) -> tuple[bytes, int]:
        """Return what is sent, and how many instances it answers."""
        asked: Asked | None = None
        if len(body) <= contract.SMALL_BODY:
            asked = served.form.read(body)
            if not asked.lookups:
                return served.answer(asked.values), len(asked.values)
        with self._gate.enter(len(body)):
            if asked is None:
                asked = await self._in_thread(served.form.read, body)
            found = await self._questions.find(asked.keys()) if asked.lookups else {}
            if len(asked.values) <= _FEW_ROWS:
                return served.answer_asked(asked, found)
            return await self._in_thread(served.answer_asked, asked, found)

    async def _in_thread(self, work: Callable[..., T], *given: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._batches, work, *given)

    def _serving(self, parent: str | None) -> _Served:
        """Return the model in force; a request keeps the one that it began with."""
        model = self._models.current()
        if self._served is None or self._served.model is not model:
            self._served = _Served(model)
        return self._served if parent is None else self._served.on_platform(parent)

    async def _health(self, scope: Scope, receive: limits.Receive, send: Send) -> None:
        """Say which model answers; it answered once already, or there would be none."""
        try:
            name = self._models.current().name
        except UserError as error:
            await self._refuse(send, error)
        else:
            content: dict[str, Any] = {"status": "ok", "model": name}
            if self._metrics.listening:
                content["workers"] = self._metrics.listening
            await _send(send, 200, _encode(content))

    def _model_name(self) -> str | None:
        try:
            return self._models.current().name
        except UserError:
            return None

    async def _show_metrics(self, scope: Scope, receive: limits.Receive, send: Send) -> None:
        await _send(send, 200, self._metrics.text(), CONTENT_TYPE)

    async def _refuse(self, send: Send, error: Exception) -> int:
        """Send an error; return its status."""
        where: dict[str, Any] = {}
        if isinstance(error, RequestError):
            status, message = error.status, str(error)
            where = {"instance": error.instance, "field": error.field}
        elif isinstance(error, UserError):
            status, message = 503, str(error)
        else:
            _log.error("Una petición falló.", exc_info=error)
            status, message = 500, "Fallo inesperado del servidor: está en su registro."
        content = {"code": status, "message": message, "status": _CODES[status]}
        content |= {name: value for name, value in where.items() if value is not None}
        await _send(send, status, _encode({"error": content}))
        return status


class _Served:
    """A model, the form of its requests, and the form of its answers."""

    def __init__(self, model: Predictor) -> None:
        self.model = model
        self._features = model.features
        self.form = Form(model.features)
        self._parent: str | None = None

    def on_platform(self, parent: str) -> _Served:
        """Return the same model with the answers of the platform's own route."""
        served = copy.copy(self)
        served._parent = parent
        return served

    def answer_asked(self, asked: Asked, documents: Mapping[str, Any]) -> tuple[bytes, int]:
        """Fill in the tracks that a request names; return what is sent and for how many."""
        for i, lookup in asked.lookups.items():
            document = documents.get(lookup.key)
            asked.values[i] = contract.stored_values(i, lookup, document, self._features)
        return self.answer(asked.values), len(asked.values)

    def answer(self, values: np.ndarray) -> bytes:
        """Return predictions as they are sent: those of ``Predictor.predict``, bit by bit."""
        predictions: list[Prediction] = []
        for start in range(0, len(values), _BLOCK):
            levels, probabilities = self.model.run(values[start : start + _BLOCK])
            predictions += contract.predictions(levels, probabilities, self.model.name)
        if self._parent is None:
            return _encode(Answer(predictions))
        name, _, version = self.model.name.partition("@")
        model = f"{self._parent}/models/{name}"
        return _encode(RestAnswer(predictions, self.model.name, model, name, version))


def _announced(scope: Scope) -> int:
    """Return the size that a body says it has, 0 if it says none."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value)
    return 0


async def _send(send: Send, status: int, body: bytes, kind: bytes = _JSON) -> None:
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    if status in (429, 503):
        headers.append((b"retry-after", b"1"))
    elif status == 405:
        headers.append((b"allow", b"POST"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
