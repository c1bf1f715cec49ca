"""Whom the emulator answers: it has no notion of a caller, and its SQL can read and write files.

Neither may a web page send it any, nor another user of the machine. ``create_app`` of
``api/app.py`` and ``build_grpc_server`` of ``grpc_api/server.py`` take nothing to say so.
"""

from __future__ import annotations

import functools
import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import bqemulator.server as server
import grpc
import grpc.aio

from spotify_mlops.io.http import guard
from spotify_mlops.io.http.browsers import Rule

HEALTH = "/healthz"
_RULE = Rule(uploads={"/upload/": frozenset({"multipart/related", "*/*"})})
"""Of the official client: ``*/*`` is the type of the chunks of a resumable upload."""


def only_the_owner(key: str) -> None:
    """Ask who calls for the key, over REST and gRPC.

    Args:
        key: the one of BigQuery.
    """
    create_app = server.create_app

    def guarded(context: Any) -> guard.Guard:
        app = create_app(context)
        return guard.Guard(app, "bigquery", key, _RULE, frozenset({HEALTH}))

    server.create_app = guarded  # type: ignore[assignment]
    grpc_server = grpc.aio.server

    @functools.wraps(grpc_server)
    def guarded_server(*arguments: Any, interceptors: Any = (), **named: Any) -> Any:
        return grpc_server(*arguments, interceptors=(Interceptor(key), *interceptors), **named)

    grpc.aio.server = guarded_server


class Interceptor(grpc.aio.ServerInterceptor):
    def __init__(self, key: str) -> None:
        self._authorization = guard.authorization(key).encode()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        given = dict(details.invocation_metadata or ()).get("authorization", "")
        if hmac.compare_digest(str(given).encode(), self._authorization):
            return await continuation(details)
        # Fits every kind of call, and ends it before a message of it is read.
        return grpc.stream_stream_rpc_method_handler(_refuse)


async def _refuse(requests: Any, context: Any) -> None:
    await context.abort(
        grpc.StatusCode.UNAUTHENTICATED,
        "Falta la clave de este servidor, o no es la suya (metadato «authorization»).",
    )
