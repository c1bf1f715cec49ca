"""The ASGI app: health, Vertex's predict route, and the REST route of the official client."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.cloud import aiplatform_v1
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..errors import UserError
from . import contract
from .contract import Lookup, RequestError
from .models import ModelSource

HEALTH_ROUTE = "/health"
PREDICT_ROUTE = "/predict"
REST_ROUTE = "/v1/projects/{project}/locations/{location}/endpoints/{endpoint}:predict"

Store = Callable[[Sequence[str]], Mapping[str, Any]]
"""Finds documents of ``tracks`` by ``_id``; unknown ones are absent from the answer."""

_CODES = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 409: "FAILED_PRECONDITION",
          413: "OUT_OF_RANGE", 503: "UNAVAILABLE"}  # fmt: skip


def create_app(models: ModelSource, store: Store) -> Starlette:
    """Return the server's app.

    Args:
        models: gives the model that answers.
        store: the online feature store, asked for instances that name a track.

    The environment variables ``AIP_HEALTH_ROUTE`` and ``AIP_PREDICT_ROUTE`` name the routes.
    """
    endpoint = _Endpoint(models, store)
    return Starlette(
        routes=[
            Route(os.environ.get("AIP_HEALTH_ROUTE", HEALTH_ROUTE), endpoint.health),
            Route(
                os.environ.get("AIP_PREDICT_ROUTE", PREDICT_ROUTE),
                endpoint.predict,
                methods=["POST"],
            ),
            Route(REST_ROUTE, endpoint.predict_rest, methods=["POST"]),
        ],
        exception_handlers={RequestError: _refuse, UserError: _unavailable},
    )


class _Endpoint:
    def __init__(self, models: ModelSource, store: Store) -> None:
        self._models = models
        self._store = store

    async def health(self, request: Request) -> Response:
        """Say which model answers; it answered once already, or there would be none."""
        return JSONResponse({"status": "ok", "model": self._models.current().name})

    async def predict(self, request: Request) -> Response:
        """Answer ``{"instances": [...]}`` as a custom container does."""
        instances = contract.parse_body(_json(await request.body()))
        predictions, _ = await self._answer(instances)
        return JSONResponse({"predictions": predictions})

    async def predict_rest(self, request: Request) -> Response:
        """Answer ``PredictionService.Predict`` as Vertex AI's REST endpoint does."""
        message = aiplatform_v1.PredictRequest.pb(aiplatform_v1.PredictRequest())
        body = _json(await request.body())
        contract.parse_body(body)
        try:
            json_format.ParseDict(body, message)
        except json_format.ParseError as error:
            raise RequestError(f"La petición no es un PredictRequest: {error}") from error
        instances = [json_format.MessageToDict(value) for value in message.instances]
        predictions, model = await self._answer(instances)
        response = aiplatform_v1.PredictResponse(
            deployed_model_id=model,
            model=f"{_parent(request)}/models/{model.partition('@')[0]}",
            model_display_name=model.partition("@")[0],
            model_version_id=model.partition("@")[2],
        )
        raw = aiplatform_v1.PredictResponse.pb(response)
        for prediction in predictions:
            json_format.ParseDict(prediction, raw.predictions.add())
        return Response(json_format.MessageToJson(raw, indent=None), media_type="application/json")

    async def _answer(self, instances: list[Any]) -> tuple[list[dict[str, Any]], str]:
        """Return the predictions and the name of the model that made all of them."""
        model = self._models.current()
        parsed = [contract.parse_instance(i, v, model.features) for i, v in enumerate(instances)]
        keys = [item.key for item in parsed if isinstance(item, Lookup)]
        # Only a question to the store can wait; the model itself takes microseconds.
        documents = await run_in_threadpool(self._store, keys) if keys else {}
        values = [
            contract.stored_values(i, item, documents.get(item.key), model.features)
            if isinstance(item, Lookup)
            else item
            for i, item in enumerate(parsed)
        ]
        predicted = model.predict_array(contract.as_matrix(values))
        return contract.answers(predicted, model.name), model.name


def _parent(request: Request) -> str:
    names = request.path_params
    return f"projects/{names['project']}/locations/{names['location']}"


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError("El cuerpo de la petición no es JSON válido.") from error


def _error(status: int, message: str, **where: Any) -> JSONResponse:
    error = {"code": status, "message": message, "status": _CODES.get(status, "UNKNOWN")}
    error |= {name: value for name, value in where.items() if value is not None}
    return JSONResponse({"error": error}, status_code=status)


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return _error(error.status, str(error), instance=error.instance, field=error.field)


async def _unavailable(request: Request, error: Exception) -> Response:
    return _error(503, str(error))
