"""An ASGI app behind its guard: programs of this machine that know the server's key, or the user's.

Where there is a key its holder is the owner of the state directory: other users of the machine
cannot read its secret (`secret`), and a web page cannot send the header that carries it.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from . import peers
from .browsers import Refusal, Rule

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

VARIABLE = "SPOTIFY_MLOPS_KEY"
"""Environment variable by which a server is told the key that its clients will send."""
_STATUS = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 415: "INVALID_ARGUMENT"}


def authorization(key: str) -> str:
    """Return the value of the header ``authorization`` that carries a key."""
    return f"Bearer {key}"


class _Guard:
    """Passes on the requests that its rule and ``_refusal`` welcome; refuses the others.

    A refusal is in Google's form of JSON errors, and is sent before the body is read.
    """

    def __init__(self, app: App, rule: Rule | None) -> None:
        self._app = app
        self._rule = rule

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass on the server's start and end."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = _headers(scope)
        refused = None
        if self._rule is not None:
            refused = self._rule.refusal(scope.get("method", "GET"), scope["path"], headers)
        if refused is None:
            refused = await self._refusal(scope, headers)
        if refused is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            await _answer(send, refused)

    async def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> Refusal | None:
        raise NotImplementedError


class Guard(_Guard):
    """Lets in who sends the key."""

    def __init__(
        self, app: App, server: str, key: str, rule: Rule | None, open_paths: frozenset[str]
    ) -> None:
        """Guard an app.

        Args:
            app: what is behind.
            server: its name in ``spotify-mlops token``, for the message.
            key: what its clients have to send.
            rule: what its clients may be; without one anything.
            open_paths: that need no key.
        """
        super().__init__(app, rule)
        self._server = server
        self._authorization = authorization(key).encode()
        self._open = open_paths

    async def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> Refusal | None:
        given = headers.get("authorization", "").encode()
        if scope["path"] in self._open or hmac.compare_digest(given, self._authorization):
            return None
        return Refusal(
            401,
            "Falta la clave de este servidor, o no es la suya: envía «Authorization: Bearer» con "
            f"lo que dice «spotify-mlops token {self._server}».",
        )


class OwnersGuard(_Guard):
    """Lets in this user's programs, by what the kernel says of the connection.

    For clients that send no key.
    """

    def __init__(self, app: App, rule: Rule) -> None:
        """Guard an app; ``rule`` says what its clients may be."""
        super().__init__(app, rule)

    async def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> Refusal | None:
        client, server = tuple(scope["client"]), tuple(scope["server"])
        if await asyncio.to_thread(peers.is_owner, client, server):
            return None
        return Refusal(403, "Quien llama es de otro usuario.")


def _headers(scope: Scope) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name = raw.decode("latin-1")
        text = value.decode("latin-1")
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    return headers


async def _answer(send: Send, refused: Refusal) -> None:
    error = {
        "code": refused.status,
        "message": refused.message,
        "status": _STATUS[refused.status],
    }
    body = json.dumps({"error": error}, ensure_ascii=False).encode()
    headers = [
        (b"content-type", b"application/json; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
    ]
    if refused.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
