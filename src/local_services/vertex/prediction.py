"""Predict and RawPredict: the request's JSON goes to the container as it came."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..google_api.errors import ApiError
from ..google_api.routes import JSON, body_of
from .traffic import Answer, Target, Traffic, refused

_SHOWN = 1000


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    instances: list[msgspec.Raw]
    parameters: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    labels: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class _Answer(msgspec.Struct):
    predictions: msgspec.Raw
    metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _HttpBody(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    content_type: str = ""
    data: str = ""


class _RawRequest(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    http_body: _HttpBody


_requests = msgspec.json.Decoder(_Request)
_answers = msgspec.json.Decoder(_Answer)
_raw_requests = msgspec.json.Decoder(_RawRequest)


class Prediction:
    """Answers PredictionService."""

    def __init__(self, traffic: Traffic) -> None:
        """Ask the models that ``traffic`` chooses."""
        self._traffic = traffic

    async def predict(self, request: Request) -> Response:
        """Answer Predict: the predictions and the model that made all of them."""
        target, body = self._traffic.choose(request.path_params["endpoint"]), await body_of(request)
        try:
            _requests.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ApiError.invalid(
                "instances", f"La petición no es {{«instances»: [...]}} válido: {error}"
            ) from error
        answer = await self._traffic.ask(target, body, "application/json")
        if answer.status != 200:
            raise refused(answer, _message(answer))
        try:
            content = _answers.decode(answer.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ApiError(
                "INTERNAL", f"El contenedor no respondió {{«predictions»: [...]}}: {error}"
            ) from error
        return Response(_with_origin(content, target), media_type=JSON)

    async def raw_predict(self, request: Request) -> Response:
        """Answer RawPredict: any body to the container's predict route, its answer as it is.

        The service client wraps both in an ``HttpBody`` of JSON; others send them bare.
        """
        target, body = self._traffic.choose(request.path_params["endpoint"]), await body_of(request)
        wrapped = _unwrapped(body)
        if wrapped is None:
            kind = request.headers.get("content-type", "application/json")
            answer = await self._traffic.ask(target, body, kind)
        else:
            answer = await self._traffic.ask(
                target, base64.b64decode(wrapped.data), wrapped.content_type or "application/json"
            )
        if answer.status >= 400:
            raise refused(answer, _message(answer))
        origin = {
            "X-Vertex-AI-Deployed-Model-Id": target.deployed.id,
            "X-Vertex-AI-Model": target.deployed.model,
            "X-Vertex-AI-Model-Version-Id": target.deployed.model_version_id,
        }
        if wrapped is None:
            own = {"content-type": answer.content_type}
            return Response(answer.body, answer.status, origin | own)
        data = base64.b64encode(answer.body).decode()
        content = json.dumps({"contentType": answer.content_type, "data": data})
        return Response(content, 200, origin, JSON)


def _with_origin(content: _Answer, target: Target) -> bytes:
    deployed = target.deployed
    origin: dict[str, Any] = {
        "predictions": content.predictions,
        "deployedModelId": deployed.id,
        "model": deployed.model,
        "modelDisplayName": deployed.display_name,
        "modelVersionId": deployed.model_version_id,
    }
    if content.metadata is not msgspec.UNSET:
        origin["metadata"] = content.metadata
    return msgspec.json.encode(origin)


def _unwrapped(body: bytes) -> _HttpBody | None:
    try:
        return _raw_requests.decode(body).http_body
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _message(answer: Answer) -> str:
    """Return what a container's error says: its ``error.message``, or its text."""
    text = answer.body.decode("utf-8", "replace")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict):
        error = content.get("error", content)
        if isinstance(error, dict) and isinstance(error.get("message"), str):
            return error["message"]
        if isinstance(error, str):
            return error
    return f"El contenedor respondió {answer.status}: {text[:_SHOWN]}"
