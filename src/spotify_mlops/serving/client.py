"""Ask the endpoint, here or in the cloud, with Google's own client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform_v1
from google.protobuf import json_format, struct_pb2

from .. import clients
from ..errors import InputError, ServiceError
from ..params import Params


def predict(
    params: Params, instances: Sequence[dict[str, Any]], endpoint: str | None = None
) -> list[dict[str, Any]]:
    """Return the endpoint's prediction of each instance, in order.

    Args:
        params: where the endpoint is.
        instances: feature values by name, or ``{"country", "track_id"}``.
        endpoint: id of the endpoint; the local server answers to any (default: ``model_name``).

    Raises:
        InputError: the endpoint refused an instance; the message says which and why.
        ServiceError: it does not answer.
    """
    client = prediction_client(clients.endpoint_url(params))
    name = client.endpoint_path(params.project, params.location, endpoint or params.model_name)
    values = [json_format.ParseDict(dict(item), struct_pb2.Value()) for item in instances]
    timeout = params.service_timeout.total_seconds()
    try:
        response = client.predict(endpoint=name, instances=values, timeout=timeout)
    except exceptions.ClientError as error:
        raise InputError(
            f"El servidor de predicciones no acepta la petición: {error.message}"
        ) from error
    except (exceptions.GoogleAPICallError, exceptions.RetryError, OSError) as error:
        raise ServiceError(
            "El servidor de predicciones no responde: comprueba «spotify-mlops status»."
        ) from error
    raw = aiplatform_v1.PredictResponse.pb(response)
    return [json_format.MessageToDict(value) for value in raw.predictions]


def prediction_client(url: str) -> aiplatform_v1.PredictionServiceClient:
    """Return the official client for an endpoint's base URL.

    A loopback server gets no credentials; elsewhere the machine's own are used.
    """
    loopback = url.startswith(("http://127.0.0.1", "http://localhost"))
    return aiplatform_v1.PredictionServiceClient(
        transport="rest",
        client_options=ClientOptions(api_endpoint=url),
        credentials=AnonymousCredentials() if loopback else None,
    )
