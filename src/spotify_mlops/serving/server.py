"""How the app is put on a socket: its guard, uvicorn's settings, the signals that end it."""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

import uvicorn

from ..config.errors import ServiceError
from ..io.http import connections
from ..io.http.browsers import Rule
from ..io.http.guard import VARIABLE, Guard
from ..io.local import secret
from ..io.patches import interpreter
from .app import HEALTH_ROUTE

STOP_SECONDS = 30
"""For the answers under way when the server is told to stop."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_KEEP_ALIVE_SECONDS = 75
"""Longer than the proxies before it keep a connection, so that they are the ones to close it."""
_TURN_SECONDS = 0.001


def guarded(app: Any, host: str) -> Any:
    """Return the app behind what it asks of its clients: a key, and on loopback to be no web page.

    The key is the one in the environment (``guard.VARIABLE``), on loopback else the owner's.
    A container of the cloud has none: the platform before it decides who may ask.
    """
    here = host in _LOOPBACK
    key = os.environ.get(VARIABLE) or (secret.key("serving") if here else None)
    if key is None:
        return app
    health = os.environ.get("AIP_HEALTH_ROUTE", HEALTH_ROUTE)
    return Guard(app, "serving", key, Rule() if here else None, frozenset({health}))


def server_config(app: Any) -> uvicorn.Config:
    """Return how uvicorn runs an ASGI app here: nothing that a prediction has no use for."""
    return uvicorn.Config(
        app,
        http=connections.protocol(connections.Limits()),
        loop="uvloop",
        ws="none",
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="warning",
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )


def run(server: uvicorn.Server, listener: socket.socket) -> None:
    """Answer until a signal comes, and what is under way has been answered."""

    def stop(*_: object) -> None:
        server.should_exit = True

    # A thread that works on a batch hands over to the event loop after this time.
    interpreter.take_turns(_TURN_SECONDS)
    # uvicorn stops at these by itself, and raises them again when the last answer is sent: the end
    # is good. One that comes before uvicorn is ready for it must not be lost.
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, stop)
    server.run(sockets=[listener])


def bound(host: str, on_port: int) -> socket.socket:
    """Take the port before the model is loaded: it answers only once the server listens."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, on_port))
    except OSError as error:
        listener.close()
        raise ServiceError(
            f"No se puede abrir el puerto {on_port} de {host} ({error.strerror}): elige otro con "
            "AIP_HTTP_PORT."
        ) from error
    return listener
