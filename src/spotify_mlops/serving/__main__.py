"""``python -m spotify_mlops.serving``: the server of a container and of ``spotify-mlops serve``."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
from typing import Any

import uvicorn

from ..config import carried
from ..config.errors import ParamsError, ServiceError, UserError
from ..config.params import Params
from ..io import logs
from ..io.http import connections
from ..io.http.browsers import Rule
from ..io.http.guard import VARIABLE, Guard
from ..io.local import secret
from ..io.mongo.store import OnlineStore
from ..io.patches import interpreter
from ..model.promotions import PromotionHistory
from .app import HEALTH_ROUTE, create_app
from .metrics import Metrics
from .models import Background, ChampionModel, FixedModel

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_KEEP_ALIVE_SECONDS = 75
"""Longer than the proxies before it keep a connection, so that they are the ones to close it."""
_STOP_SECONDS = 30
"""For the answers under way when the server is told to stop."""
_TURN_SECONDS = 0.001


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal comes; return the exit status.

    The model is the bundle at ``AIP_STORAGE_URI``, or else the champion. The port is
    ``AIP_HTTP_PORT`` (8080 without it).
    """
    parser = argparse.ArgumentParser(
        prog="python -m spotify_mlops.serving", description="Servidor de predicciones."
    )
    carried.add_options(parser)
    parser.add_argument("--host", default="127.0.0.1", help="dirección (0.0.0.0 en un contenedor)")
    options = parser.parse_args(arguments)
    logs.keep_small()
    try:
        serve(carried.chosen(options), options.host, port())
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def serve(params: Params, host: str, on_port: int) -> None:
    """Serve predictions on a port until a signal comes.

    Raises:
        ServiceError: the port is taken.
        InputError: there is no model.
        IntegrityError: the model's files are not what was registered.
    """
    with _bound(host, on_port) as listener:
        uri = os.environ.get("AIP_STORAGE_URI")
        metrics = Metrics()
        promotions = PromotionHistory(params)
        models = Background(
            lambda: FixedModel(uri, promotions) if uri else ChampionModel(promotions), metrics
        )
        app = create_app(models, OnlineStore(params), metrics)
        server = uvicorn.Server(server_config(guarded(app, host)))
        _run(server, listener, models)


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
        timeout_graceful_shutdown=_STOP_SECONDS,
    )


def _run(server: uvicorn.Server, listener: socket.socket, models: Background) -> None:
    """Answer while the model is loaded (health says 503 until then), and until a signal comes.

    Raises:
        UserError: the model could not be loaded.
    """
    stop = threading.Event()
    failures: list[BaseException] = []

    def load() -> None:
        try:
            models.run(stop)
        except BaseException as error:
            failures.append(error)
            server.should_exit = True

    # A thread that works on a batch hands over to the event loop after this time.
    interpreter.take_turns(_TURN_SECONDS)
    # uvicorn stops at these, and raises them again when the last answer is sent: the end is good.
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: sys.exit(0))
    loader = threading.Thread(target=load, name="models", daemon=True)
    loader.start()
    try:
        server.run(sockets=[listener])
    finally:
        stop.set()
    if failures:
        raise failures[0]


def _bound(host: str, on_port: int) -> socket.socket:
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


def port() -> int:
    """Return the port that the platform gave.

    Raises:
        ParamsError: it is not a port number.
    """
    text = os.environ.get("AIP_HTTP_PORT", "8080")
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise ParamsError(f"AIP_HTTP_PORT = «{text}» no es un puerto.")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
