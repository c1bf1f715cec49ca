"""Ask the endpoint, here or in the cloud, with Google's own client."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from google.api_core import exceptions
from google.cloud import aiplatform_v1
from google.protobuf import json_format, struct_pb2

from .. import clients
from ..errors import InputError, ServiceError
from ..params import Params
from .endpoint import Endpoint

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
    client = clients.vertex_client(params, aiplatform_v1.PredictionServiceClient)
    values = [json_format.ParseDict(dict(item), struct_pb2.Value()) for item in instances]
    timeout = params.service_timeout.total_seconds()
    name = Endpoint(params).name
    try:
        response = client.predict(endpoint=name, instances=values, timeout=timeout)
    except exceptions.GoogleAPICallError as error:
        text = _WHERE.sub("", error.message)
        if isinstance(error, exceptions.NotFound) and name in text:
            raise ServiceError(f"No hay endpoint {name}: ejecuta el cuaderno 06.") from error
        if error.code is not None and error.code < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise InputError(
                f"El servidor de predicciones no acepta la petición: {text}"
            ) from error
        raise ServiceError(f"El servidor de predicciones no puede contestar: {text}") from error
    except (exceptions.RetryError, OSError) as error:
        raise ServiceError(
            "El servidor de predicciones no responde: comprueba «spotify-mlops status»."
        ) from error
    raw = aiplatform_v1.PredictResponse.pb(response)
    return [json_format.MessageToDict(value) for value in raw.predictions]
