"""The server put together: one store, the jobs over it, the routes that reach them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from google.cloud import dataflow_v1beta3 as api
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from spotify_mlops.config.errors import ServiceError
from spotify_mlops.io.http import peers
from spotify_mlops.io.http.browsers import Rule
from spotify_mlops.io.http.guard import App, Receive, Scope, Send

from ..vertex.errors import ApiError
from ..vertex.routes import JSON, call
from ..vertex.store import Store
from . import HEALTH
from .jobs import Jobs

_JOBS = "/v1b3/projects/{project_id}/locations/{location}/jobs"
_JOB = f"{_JOBS}/{{job_id}}"


class Server:
    """Everything that lives as long as the process."""

    def __init__(self, folder: Path) -> None:
        """Open the state in a folder."""
        self._store = Store(folder / "dataflow.sqlite")
        self.jobs = Jobs(self._store, folder)
        app = Starlette(
            routes=self._routes(),
            exception_handlers={
                ApiError: _refuse,
                ServiceError: _say_unavailable,
                HTTPException: _refuse_route,
                ClientDisconnect: _say_nothing,
                Exception: _say_defect,
            },
            lifespan=self._live,
        )
        app.router.redirect_slashes = False
        self.app = OwnersAlone(app, Rule())
        """What is served: whoever may call the API runs code here."""

    @asynccontextmanager
    async def _live(self, app: Starlette) -> AsyncIterator[None]:
        self.jobs.start()
        yield
        await self.jobs.stop()
        self._store.close()

    def _routes(self) -> list[Route]:
        jobs = self.jobs
        listing = call("GET", _JOBS, api.ListJobsRequest.pb(), jobs.list_)
        creating = call("POST", _JOBS, api.CreateJobRequest.pb(), jobs.create, "job")
        return [
            Route(HEALTH, _say_healthy),
            creating,
            listing,
            call("GET", _JOB, api.GetJobRequest.pb(), jobs.get),
            call("PUT", _JOB, api.UpdateJobRequest.pb(), jobs.update, "job"),
            call("GET", f"{_JOB}/messages", api.ListJobMessagesRequest.pb(), jobs.messages),
        ]


class OwnersAlone:
    """Passes on what programs of this user ask, by what the kernel says of the connection."""

    def __init__(self, app: App, rule: Rule) -> None:
        """Guard an app; ``rule`` says what its clients may be."""
        self._app = app
        self._rule = rule

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass on the server's start and end."""
        if scope["type"] == "http":
            headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
            refused = self._rule.refusal(scope["method"], scope["path"], headers)
            ends = (tuple(scope["client"]), tuple(scope["server"]))
            if refused is None and await asyncio.to_thread(peers.is_owner, *ends):
                await self._app(scope, receive, send)
                return
            told = refused.message if refused else "Quien llama es de otro usuario."
            error = ApiError("PERMISSION_DENIED", told)
            await JSONResponse(error.to_dict(), error.http_status)(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        else:
            await send({"type": "websocket.close"})


async def _say_healthy(request: Request) -> Response:
    return Response(b"{}", media_type=JSON)


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return JSONResponse(error.to_dict(), error.http_status, media_type=JSON)


async def _say_unavailable(request: Request, error: Exception) -> Response:
    return await _refuse(request, ApiError("UNAVAILABLE", str(error)))


async def _refuse_route(request: Request, error: Exception) -> Response:
    return await _refuse(
        request,
        ApiError(
            "UNIMPLEMENTED",
            f"La ruta «{request.method} {request.url.path}» no está en el Dataflow local.",
        ),
    )


async def _say_nothing(request: Request, error: Exception) -> Response:
    return Response()  # the client hung up before its request was whole


async def _say_defect(request: Request, error: Exception) -> Response:
    """Tell the client of a defect, which Starlette passes on to the server's log."""
    text = "Error interno del Dataflow local: mira su registro."
    return await _refuse(request, ApiError("INTERNAL", text))
