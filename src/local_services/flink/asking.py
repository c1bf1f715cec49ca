"""Health checks of the parts: Flink's REST, and Beam's services without Beam's classes."""

from __future__ import annotations

from typing import Any

from spotify_mlops.config.errors import ServiceError
from spotify_mlops.io import flink
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
    where = f"https://{ports.HOST}:{port}"
    try:
        return flink.ask(where, path, context=tls.context(), patience=_PATIENCE)
    except (OSError, ServiceError):
        return {}
