"""One of several processes behind a port: it does what its supervisor says (see `swap`)."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import socket
import sys
import threading
from multiprocessing.connection import Connection

import msgspec
import uvicorn

from ..config import carried
from ..config.errors import UserError, one_line
from ..io import logs
from ..io.mongo.store import OnlineStore
from ..io.patches import interpreter
from ..model.predictor import Predictor
from ..model.promotions import PromotionHistory
from .app import create_app
from .board import Board
from .metrics import Metrics
from .models import FixedModel, Generations, load_version
from .server import guarded, run, server_config
from .swap import Failed, Listen, Loaded, Order

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode
_order = msgspec.json.Decoder(Order).decode


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal comes, or the supervisor ends; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m spotify_mlops.serving.worker")
    carried.add_options(parser)
    parser.add_argument("--host", required=True)
    parser.add_argument("--number", type=int, required=True)
    parser.add_argument("--descriptors", type=int, nargs=3, required=True)
    options = parser.parse_args(arguments)
    logs.keep_small()
    params = carried.chosen(options)
    listener, shared, channel = options.descriptors
    board = Board.opened(shared)
    promotions = PromotionHistory(params)

    def load(version: str | None) -> Predictor:
        if version is None:
            return FixedModel(os.environ["AIP_STORAGE_URI"], promotions).current()
        return load_version(promotions, version)

    models = Generations(board, load)
    app = create_app(models, OnlineStore(params), Metrics(board, options.number))
    server = uvicorn.Server(server_config(guarded(app, options.host)))
    listen = threading.Event()
    obeying = (Connection(channel), models, server, listen)
    threading.Thread(target=_obey, args=obeying, name="orders", daemon=True).start()
    listen.wait()
    if not server.should_exit:
        run(server, socket.socket(fileno=listener))
    return 0


def _obey(
    channel: Connection, models: Generations, server: uvicorn.Server, listen: threading.Event
) -> None:
    """Do what the supervisor says; when it is no more, or there is no model to begin with, end."""
    try:
        is_first = True
        while True:
            order = _order(channel.recv_bytes())
            if isinstance(order, Listen):
                listen.set()
                continue
            try:
                models.load(order.generation, order.version)
            except Exception as error:
                channel.send_bytes(_encode(_failure(order.generation, error)))
                if not listen.is_set():
                    return
            else:
                if is_first:
                    is_first = False
                    gc.collect()
                    interpreter.keep_what_is_here()
                channel.send_bytes(_encode(Loaded(order.generation)))
    except (EOFError, OSError):
        return
    finally:
        server.should_exit = True
        listen.set()


def _failure(generation: int, error: Exception) -> Failed:
    if isinstance(error, UserError):
        return Failed(generation, str(error), error.exit_code)
    # What is no user's error has a trace that someone will want.
    _log.error("Un modelo no se puede cargar.", exc_info=error)
    return Failed(generation, one_line(error), UserError.exit_code)


if __name__ == "__main__":
    sys.exit(main())
