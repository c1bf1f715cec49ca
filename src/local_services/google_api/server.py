"""A stand-in's server: its routes, what it says when it cannot answer, how it is served."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from spotify_mlops.config.errors import ServiceError
from spotify_mlops.io.http import connections, ports
from spotify_mlops.io.http.guard import App

from . import HEALTH
from .errors import ApiError
from .routes import JSON


class Lifespan(Protocol):
    """What lives as long as the process."""

    def __call__(self, app: Starlette) -> AbstractAsyncContextManager[None]:
        """Begin with the server, and end with it."""


def application(server: str, routes: Sequence[Route], lifespan: Lifespan) -> Starlette:
    """Return what answers the routes, and everything else with Google's JSON errors.

    Args:
        server: who answers, for people (Spanish).
        routes: of the API.
        lifespan: of what they reach.
    """

    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        return JSONResponse(error.to_dict(server), error.http_status, media_type=JSON)

    async def say_unavailable(request: Request, error: Exception) -> Response:
        return await refuse(request, ApiError("UNAVAILABLE", str(error)))

    async def refuse_route(request: Request, error: Exception) -> Response:
        route = f"La ruta «{request.method} {request.url.path}»"
        return await refuse(request, ApiError.unimplemented(route))

    async def say_nothing(request: Request, error: Exception) -> Response:
        return Response()  # the client hung up before its request was whole

    async def say_defect(request: Request, error: Exception) -> Response:
        """Tell the client of a defect, which Starlette passes on to the server's log."""
        text = f"Error interno del {server}: mira su registro."
        return await refuse(request, ApiError("INTERNAL", text))

    app = Starlette(
        routes=[Route(HEALTH, _say_healthy), *routes],
        exception_handlers={
            ApiError: refuse,
            ServiceError: say_unavailable,
            HTTPException: refuse_route,
            ClientDisconnect: say_nothing,
            Exception: say_defect,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


def serve(app: App, port: int) -> None:
    """Serve on loopback until TERM."""
    uvicorn.run(
        app,
        host=ports.HOST,
        port=port,
        http=connections.protocol(connections.Limits()),
        log_level="warning",
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=10,
    )


async def _say_healthy(request: Request) -> Response:
    return Response(b"{}", media_type=JSON)
