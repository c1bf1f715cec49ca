"""Health checks of the parts: Flink's REST, and Beam's services without Beam's classes."""

from __future__ import annotations

import http.client
import json
from typing import Any

from spotify_mlops.config.errors import ServiceError, one_line
from spotify_mlops.io.http import ports
from spotify_mlops.io.local import tls

_PATIENCE = 2.0


def call(port: int, method: str) -> bool:
    """Tell whether a gRPC service answers a request without content."""
    if not ports.listens(port):
        return False
    import grpc

    with grpc.insecure_channel(f"{ports.HOST}:{port}") as channel:
        try:
            channel.unary_unary(method)(b"", timeout=_PATIENCE)
        except grpc.RpcError:
            return False
    return True


def rest(port: int, path: str) -> dict[str, Any]:
    """Ask the JobManager; empty when it does not answer."""
    try:
        return ask(port, path)
    except ServiceError:
        return {}


def ask(port: int, path: str, method: str = "GET", body: object = None) -> dict[str, Any]:
    """Return what the JobManager answers.

    Raises:
        ServiceError: it does not, or with an error.
    """
    content = None if body is None else json.dumps(body)
    headers = {} if body is None else {"content-type": "application/json"}
    try:
        connection = http.client.HTTPSConnection(
            ports.HOST, port, timeout=_PATIENCE, context=tls.context()
        )
        try:
            connection.request(method, path, content, headers)
            answer = connection.getresponse()
            found = answer.read()
        finally:
            connection.close()
        if answer.status >= http.client.BAD_REQUEST:
            raise ServiceError(f"Flink responde {answer.status}: {one_line(found[:300])}")
        return dict(json.loads(found))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ServiceError(f"Flink no responde ({one_line(error)}).") from error
