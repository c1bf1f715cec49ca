"""How a call of Google's API comes in over HTTP and how its answer goes out."""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from . import protobuf
from .errors import ApiError

JSON = "application/json; charset=utf-8"
_ENUMS_AS_INTEGERS = "json;enum-encoding=int"
_LONGEST_BODY = 128 * 1024 * 1024


def call(
    method: str,
    path: str,
    make: type[Message],
    handler: Callable[[Any], Awaitable[Message]],
    body: str = "",
) -> Route:
    """Return the route of a call whose request and answer are messages.

    Args:
        method: of HTTP.
        path: names the fields that it fills; ``__`` stands for the dot of one in another.
        make: the request.
        handler: answers it.
        body: ``*`` for the whole request, a field's name, or empty.
    """

    async def answer(http: Request) -> Response:
        query = dict(http.query_params)
        integers = query.get("$alt") == _ENUMS_AS_INTEGERS
        content: dict[str, Any] = {k: v for k, v in query.items() if not k.startswith("$")}
        if body:
            given = _read(await body_of(http))
            content |= given if body == "*" else {body: given}
        request = make()
        protobuf.parse(request, content)
        for name, value in http.path_params.items():
            *outer, field = name.split("__")
            setattr(functools.reduce(getattr, outer, request), field, value)
        reply = await handler(request)
        return Response(protobuf.to_json(reply, integers=integers), media_type=JSON)

    return Route(path, answer, methods=[method])


async def body_of(http: Request) -> bytes:
    """Return the body of a request.

    Raises:
        ApiError: it is too long.
        ClientDisconnect: the client hung up before it was whole.
    """
    body = bytearray()
    async for chunk in http.stream():
        body += chunk
        if len(body) > _LONGEST_BODY:
            text = f"La petición pasa de {_LONGEST_BODY >> 20} MiB: divídela."
            raise ApiError("INVALID_ARGUMENT", text, http_status=413)
    return bytes(body)


def _read(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise ApiError.invalid("", "El cuerpo de la petición no es JSON válido.") from error
    if not isinstance(content, dict):
        raise ApiError.invalid("", "El cuerpo de la petición debe ser un objeto JSON.")
    return content
