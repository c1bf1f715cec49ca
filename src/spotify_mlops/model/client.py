"""Ask the endpoint, here or in the cloud, with Google's own client."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import msgspec
import polars as pl
from google.api import httpbody_pb2
from google.api_core import exceptions
from google.cloud import aiplatform_v1
from google.protobuf import json_format, struct_pb2

from ..config.errors import InputError, ServiceError
from ..config.params import Params
from ..config.sections import Cloud
from ..domain.labels import LEVELS
from ..domain.schemas import ANSWER_SCHEMA
from ..io import retry, vertex
from .endpoint import Endpoint

BATCH = 2_000
"""Rows in a request of `predict_rows`."""
_WHERE = re.compile(r"^[A-Z]+ \S+: ")
"""What Google's client puts before a message: method and URL."""


def predict(params: Params, instances: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the endpoint's prediction of each instance, in order.

    Args:
        params: where the endpoint is.
        instances: feature values by name, or ``{"country", "track_id"}``.

    Raises:
        InputError: the endpoint refused an instance; the message says which and why.
        ServiceError: it does not answer, or nothing is deployed.
    """
    values = [json_format.ParseDict(dict(item), struct_pb2.Value()) for item in instances]
    name = Endpoint(params).name
    with _errors(name):
        response = _client(params.cloud).predict(
            endpoint=name, instances=values, timeout=params.stream.service_timeout.total_seconds()
        )
    raw = aiplatform_v1.PredictResponse.pb(response)
    return [json_format.MessageToDict(value) for value in raw.predictions]


def predict_rows(params: Params, features: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Return the endpoint's prediction of each row of features.

    Asked in batches as plain JSON (``rawPredict``): the typed route makes an object of each
    value. While the endpoint is away it is asked again, up to ``sink_deadline``.

    Args:
        params: where the endpoint is.
        features: at least the columns ``names``.
        names: the model's inputs.

    Returns:
        ``ANSWER_SCHEMA``, in the order of the rows: equal, bit by bit, to what
        the model that answered says in process.

    Raises:
        InputError: the endpoint refused a row.
        ServiceError: it stayed away.
    """
    patience = params.stream.sink_deadline.total_seconds()
    parts = [pl.DataFrame(schema=ANSWER_SCHEMA)]
    for rows in features.select(names).iter_slices(BATCH):
        body = msgspec.json.encode({"instances": rows.to_dicts()})
        answers = retry.again(
            functools.partial(_ask, params, body), lambda e: isinstance(e, ServiceError), patience
        )
        parts.append(_frame(answers))
    return pl.concat(parts)


def _ask(params: Params, body: bytes) -> list[dict[str, Any]]:
    name = Endpoint(params).name
    with _errors(name):
        answer = _client(params.cloud).raw_predict(
            endpoint=name,
            http_body=httpbody_pb2.HttpBody(data=body, content_type="application/json"),
            timeout=params.stream.service_timeout.total_seconds(),
        )
    predictions: list[dict[str, Any]] = msgspec.json.decode(answer.data)["predictions"]
    return predictions


def _frame(answers: Sequence[dict[str, Any]]) -> pl.DataFrame:
    rows = [
        (a["level"], a["score"], *(a["probabilities"][level] for level in LEVELS), a["model"])
        for a in answers
    ]
    return pl.DataFrame(rows, schema=ANSWER_SCHEMA, orient="row")


def _client(cloud: Cloud) -> aiplatform_v1.PredictionServiceClient:
    return vertex.client(cloud, aiplatform_v1.PredictionServiceClient)


@contextmanager
def _errors(name: str) -> Iterator[None]:
    """Turn what the client raises into what users read."""
    try:
        yield
    except exceptions.GoogleAPICallError as error:
        text = _WHERE.sub("", error.message)
        if isinstance(error, exceptions.NotFound) and name in text:
            raise ServiceError(f"No hay endpoint {name}: ejecuta el cuaderno 06.") from error
        if error.code is not None and error.code < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise InputError(f"El endpoint no acepta la petición: {text}") from error
        raise ServiceError(f"El endpoint no puede contestar: {text}") from error
    except (exceptions.RetryError, OSError) as error:
        raise ServiceError("El endpoint no responde: comprueba «spotify-mlops status».") from error
