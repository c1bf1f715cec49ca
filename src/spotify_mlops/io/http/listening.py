"""waitress with limits: for whom it opens a connection, how many there are, and for how long.

As published it takes 100 connections and no more, each for two minutes of silence and for ever if
something comes now and then: a hundred half requests and the page hangs.
"""

from __future__ import annotations

import socket
import time
from typing import Any

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from . import peers

THREADS = 8
CONNECTIONS = 100
"""At a time. One more takes the place of that which has asked nothing for longest."""
PATIENCE_SECONDS = 20.0
"""For a whole request, from the connection or from the last answer."""
_LOOK_SECONDS = 1
_HEADER_BYTES = 32 * 1024
_BODY_BYTES = 1024 * 1024
"""A page sends its filters and the versions of its panels: some kilobytes."""


class _Channel(HTTPChannel):  # type: ignore[misc]
    """A connection that knows since when it has been waited for."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.waited_since = time.monotonic()

    def service(self) -> None:
        super().service()
        self.waited_since = time.monotonic()


class Server(TcpWSGIServer):  # type: ignore[misc]
    """Serves an application to this user's programs.

    ``active_channels`` holds the connections, in the order in which they were opened.
    """

    channel_class = _Channel

    def __init__(self, application: Any, host: str, port: int) -> None:
        """Listen; ``run`` serves.

        Raises:
            OSError: the port is taken.
        """
        settings = Adjustments(
            host=host,
            port=port,
            threads=THREADS,
            # Never reached: `handle_accept` makes room.
            connection_limit=2 * CONNECTIONS,
            asyncore_use_poll=True,
            asyncore_loop_timeout=_LOOK_SECONDS,
            cleanup_interval=_LOOK_SECONDS,
            max_request_header_size=_HEADER_BYTES,
            max_request_body_size=_BODY_BYTES,
        )
        dispatcher = ThreadedTaskDispatcher()
        dispatcher.set_thread_count(THREADS)
        super().__init__(application, dispatcher=dispatcher, adj=settings)

    def set_socket_options(self, conn: socket.socket) -> None:
        """Refuse a connection of another user of this machine.

        Raises:
            OSError: it is; the caller drops it.
        """
        if not peers.is_owner(conn.getpeername(), conn.getsockname()):
            conn.close()
            raise PermissionError("the connection is another user's")
        super().set_socket_options(conn)

    def handle_accept(self) -> None:
        """Open a connection, in the place of another when there are many."""
        super().handle_accept()
        if len(self.active_channels) > CONNECTIONS:
            waiting = [channel for channel in self.active_channels.values() if not channel.requests]
            if waiting:
                min(waiting, key=lambda channel: channel.waited_since).handle_close()

    def maintenance(self, now: float) -> None:
        """Close the connections that have been waited for long enough."""
        cutoff = time.monotonic() - PATIENCE_SECONDS
        for channel in self.active_channels.values():
            if not channel.requests and channel.waited_since < cutoff:
                channel.will_close = True
