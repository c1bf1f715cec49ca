"""How long uvicorn waits for what a client owes, and how many connections it keeps.

uvicorn has no limit for either: a client that sends half a header keeps its connection for ever,
and headers of any size are kept in memory.
"""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


@dataclass(frozen=True)
class Limits:
    """What one server allows."""

    connections: int = 512
    """At a time. One more takes the place of that which has been quiet for longest."""
    header_seconds: float = 10.0
    """For the headers of a request, from the connection or from their first byte."""
    message_seconds: float = 40.0
    """For the rest of the request, from the end of its headers."""
    header_bytes: int = 64 * 1024


class _Owes(enum.Enum):
    """What a client is to send next."""

    HEADERS = 1
    BODY = 2
    NOTHING = 3


_TRAILERS: Any = deque(maxlen=0)
"""Where headers go that come after the body: nobody reads them, and they have no end."""


def protocol(limits: Limits) -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP protocol (its setting ``http``) with limits, for one server."""
    quiet: dict[_Limited, None] = {}
    return type("Limited", (_Limited,), {"limits": limits, "quiet": quiet})


class _Limited(HttpToolsProtocol):
    limits: Limits
    quiet: dict[_Limited, None]
    """Connections without a whole request that waits for its answer, in the order of quiet."""

    _owes = _timed = _Owes.HEADERS
    _timer: asyncio.TimerHandle | None = None
    _header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.quiet[self] = None
        self._time()
        if len(self.connections) > self.limits.connections:
            longest = next(iter(self.quiet))  # this one, when all the others are being answered
            longest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._untime()
        self.quiet.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._owes is _Owes.NOTHING and self.cycle.response_complete:
            self._owes = _Owes.HEADERS  # bytes between requests also began something
        if self._owes is not self._timed:
            self._time()
        if self._owes is _Owes.HEADERS:
            self._header_bytes += len(data)
            if self._header_bytes > self.limits.header_bytes:
                self._refuse(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._owes = _Owes.HEADERS

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.headers = _TRAILERS
        self._owes = _Owes.BODY

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._owes = _Owes.NOTHING
        if not self.cycle.response_complete:
            self.quiet.pop(self, None)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing():
            self.quiet[self] = None

    def timeout_keep_alive_handler(self) -> None:
        # Not ``close``, which waits until the client has read everything.
        self.transport.abort()

    def _time(self) -> None:
        """Let what is owed be due from now on."""
        self._untime()
        self._timed = self._owes
        self._header_bytes = 0
        if self._owes is _Owes.HEADERS:
            self._timer = self.loop.call_later(self.limits.header_seconds, self._too_late)
        elif self._owes is _Owes.BODY:
            self._timer = self.loop.call_later(self.limits.message_seconds, self._too_late)

    def _untime(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        if self._owes is _Owes.BODY:
            self.transport.abort()
        else:
            self._refuse(b"408 Request Timeout")

    def _refuse(self, status: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
            self.transport.close()
