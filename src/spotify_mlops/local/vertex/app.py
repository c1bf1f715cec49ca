"""The ASGI app: reads a request, finds its call, writes the answer or the error."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from . import HEALTH, messages
from .errors import ApiError
from .routes import Route, Router

_log = logging.getLogger(__name__)
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_JSON = ((b"content-type", b"application/json; charset=utf-8"),)
_ENUMS_AS_INTEGERS = "json;enum-encoding=int"


class HangUpError(Exception):
    """The client hung up before its request was whole."""


class App:
    """Answers HTTP requests."""

    def __init__(self, routes: list[Route]) -> None:
        """Serve these calls and no others."""
        self._router = Router(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"unexpected scope {scope['type']}")
        try:
            status, headers, body = await self._answer(scope, receive)
        except HangUpError:
            return
        except ApiError as error:
            status, headers, body = _refusal(error)
        except Exception:  # a defect: the client is told, and the others go on
            _log.exception("%s %s", scope["method"], scope["path"])
            status, headers, body = _refusal(
                ApiError("INTERNAL", "Error interno del Vertex AI local: mira su registro.")
            )
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, Any, bytes]:
        method, path = scope["method"], scope["path"]
        if path == HEALTH:
            return 200, _JSON, b"{}"
        found = self._router.find(method, path)
        if found is None:
            raise ApiError.unimplemented(f"La ruta «{method} {path}»")
        route, names = found
        body = await _body(receive)
        query = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
        integers = query.get("$alt") == _ENUMS_AS_INTEGERS
        query = {name: value for name, value in query.items() if not name.startswith("$")}
        content = _read(body) if route.body else None
        response = await route.handler(route.parse(names, query, content))
        return 200, _JSON, messages.to_json(response, integers=integers)


def _refusal(error: ApiError) -> tuple[int, Any, bytes]:
    return error.http_status, _JSON, json.dumps(error.to_dict(), ensure_ascii=False).encode()


async def _body(receive: Receive) -> bytes:
    chunks = []
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise HangUpError
        chunks.append(event.get("body", b""))
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
