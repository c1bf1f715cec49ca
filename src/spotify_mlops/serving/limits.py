"""How much the server takes on at a time. What is over it is refused at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from ..config.spanish import exact, number
from .contract import RequestError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

MAX_BODY = 16 << 20
"""Bytes: 10,000 instances of forty inputs with all their digits fit."""
MAX_REQUESTS = 256
"""Under way at a time: receiving their body, asking the store, or a large batch."""
MAX_BYTES = 256 << 20
"""Of all bodies under way."""
BODY_SECONDS = 30.0
"""In which a body must have arrived."""


class HangupError(Exception):
    """The client has closed the connection: nobody waits for an answer."""


class Gate:
    """Counts the requests that wait for something, and what they hold in memory.

    A request whose body came with its headers and whose answer takes microseconds never waits,
    and does not pass here.
    """

    def __init__(self, tell: Callable[[int], None] = lambda requests: None) -> None:
        """Begin with nothing under way; ``tell`` is told how many are, at each change."""
        self._tell = tell
        self.requests = 0
        self.bytes = 0

    @contextmanager
    def enter(self, size: int = 0) -> Iterator[None]:
        """Count a request of ``size`` bytes as long as the context lasts.

        Raises:
            RequestError: 429, there are too many.
        """
        if self.requests >= MAX_REQUESTS or self.bytes + size > MAX_BYTES:
            raise RequestError(
                "Hay demasiadas peticiones a la vez: repítala dentro de un segundo.", status=429
            )
        self.requests += 1
        self.bytes += size
        self._tell(self.requests)
        try:
            yield
        finally:
            self.requests -= 1
            self.bytes -= size
            self._tell(self.requests)


async def read_body(first: Message, receive: Receive, gate: Gate) -> bytes | bytearray:
    """Return a request's body, of which ``first`` is the first message.

    Raises:
        RequestError: 413 it is too large; 408 it does not arrive; 429 too many are under way.
        HangupError: the client has gone.
    """
    if first["type"] == "http.disconnect":
        raise HangupError
    body = first.get("body", b"")
    if not first.get("more_body", False):
        return body
    whole = bytearray(body)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                with gate.enter(len(whole)):
                    message = await receive()
                if message["type"] == "http.disconnect":
                    raise HangupError
                whole += message.get("body", b"")
                check_size(len(whole))
                if not message.get("more_body", False):
                    return whole
    except TimeoutError as error:
        raise RequestError(
            f"El cuerpo de la petición no llegó en {exact(BODY_SECONDS)} s.", status=408
        ) from error


def check_size(size: int) -> None:
    """Refuse a body that is too large, whether announced or already here.

    Raises:
        RequestError: 413.
    """
    if size > MAX_BODY:
        raise RequestError(
            f"La petición ocupa {number(size)} bytes o más; el máximo es {number(MAX_BODY)}. "
            "Divida la petición.",
            status=413,
            field="instances",
        )
