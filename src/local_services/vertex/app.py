"""The ASGI app: reads a request, finds its call, writes the answer or the error."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from . import HEALTH, messages
from .errors import ApiError
from .routes import BareRoute, Reply, Route, Router

_log = logging.getLogger(__name__)
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Step = Callable[[], Awaitable[None]]
_JSON = "application/json; charset=utf-8"
_ENUMS_AS_INTEGERS = "json;enum-encoding=int"
_LONGEST_BODY = 128 * 1024 * 1024


class HangUpError(Exception):
    """The client hung up before its request was whole."""


class App:
    """Answers HTTP requests."""

    def __init__(self, routes: Sequence[Route | BareRoute], start: Step, stop: Step) -> None:
        """Serve these calls and no others, between ``start`` and ``stop``."""
        self._router = Router(routes)
        self._start = start
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or live through the server's start and end."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        try:
            reply = await self._answer(scope, receive)
        except HangUpError:
            return
        except ApiError as error:
            reply = _refusal(error)
        except Exception:  # a defect: the client is told, and the others go on
            _log.exception("%s %s", scope["method"], scope["path"])
            reply = _refusal(
                ApiError("INTERNAL", "Error interno del Vertex AI local: mira su registro.")
            )
        headers = [
            ("content-type", reply.content_type),
            ("content-length", str(len(reply.body))),
            *reply.headers,
        ]
        await send(
            {
                "type": "http.response.start",
                "status": reply.status,
                "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
            }
        )
        await send({"type": "http.response.body", "body": reply.body})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await self._start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, receive: Receive) -> Reply:
        method, path = scope["method"], scope["path"]
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        if path == HEALTH:
            return Reply(200, _JSON, b"{}")
        found = self._router.find(method, path)
        if found is None:
            raise ApiError.unimplemented(f"La ruta «{method} {path}»")
        route, names = found
        body = await _body(receive)
        if isinstance(route, BareRoute):
            return await route.handler(names, headers, body)
        query = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
        integers = query.get("$alt") == _ENUMS_AS_INTEGERS
        query = {name: value for name, value in query.items() if not name.startswith("$")}
        content = _read(body) if route.body else None
        response = await route.handler(route.parse(names, query, content))
        return Reply(200, _JSON, messages.to_json(response, integers=integers))


def _refusal(error: ApiError) -> Reply:
    body = json.dumps(error.to_dict(), ensure_ascii=False).encode()
    return Reply(error.http_status, _JSON, body)


async def _body(receive: Receive) -> bytes:
    chunks = []
    length = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise HangUpError
        chunks.append(event.get("body", b""))
        length += len(chunks[-1])
        if length > _LONGEST_BODY:
            raise ApiError(
                "INVALID_ARGUMENT",
                f"La petición pasa de {_LONGEST_BODY >> 20} MiB: divídela.",
                http_status=413,
            )
        if not event.get("more_body"):
            return b"".join(chunks)


def _read(body: bytes) -> Any:
    try:
        content = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise ApiError.invalid("", "El cuerpo de la petición no es JSON válido.") from error
    if not isinstance(content, dict):
        raise ApiError.invalid("", "El cuerpo de la petición debe ser un objeto JSON.")
    return content
