"""How Google's clients send a local server its key: as the access token that they would have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import grpc
from google.auth import exceptions
from google.auth.credentials import Credentials

from .guard import authorization


class KeyCredentials(Credentials):
    """Credentials whose token is a key of the state directory, for ever."""

    def __init__(self, key: str) -> None:
        """Send this key."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.token = key

    def refresh(self, request: Any) -> None:
        """Say that the server refused the key: there is no other.

        Raises:
            RefreshError: always.
        """
        raise exceptions.RefreshError(
            "El servicio local no acepta la clave de esta carpeta de estado: prueba "
            "«spotify-mlops down» y «spotify-mlops up»."
        )


def authorized(channel: grpc.Channel, key: str) -> grpc.Channel:
    """Return a channel whose calls carry a key."""
    return grpc.intercept_channel(channel, _Authorization(key))


class _Details(NamedTuple):
    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


class _CallDetails(_Details, grpc.ClientCallDetails):  # type: ignore[misc]
    """What a call is made with."""


class _Authorization(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[misc]
    grpc.UnaryStreamClientInterceptor,  # type: ignore[misc]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[misc]
    grpc.StreamStreamClientInterceptor,  # type: ignore[misc]
):
    def __init__(self, key: str) -> None:
        self._entry = ("authorization", authorization(key))

    def _call(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        metadata = [*(details.metadata or ()), self._entry]
        return continuation(
            _CallDetails(
                details.method,
                details.timeout,
                metadata,
                details.credentials,
                details.wait_for_ready,
                details.compression,
            ),
            request,
        )

    intercept_unary_unary = _call
    intercept_unary_stream = _call
    intercept_stream_unary = _call
    intercept_stream_stream = _call
