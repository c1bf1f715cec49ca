"""Health checks of the parts: Flink's REST, and Beam's services without Beam's classes."""

from __future__ import annotations

import http.client
import json
from typing import Any

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
        connection = http.client.HTTPSConnection(
            ports.HOST, port, timeout=_PATIENCE, context=tls.context()
        )
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return dict(json.loads(answer.read())) if answer.status == http.client.OK else {}
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError):
        return {}
