"""``python -m spotify_mlops.serving``: the server of a container and of ``spotify-mlops serve``."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading

import uvicorn

from ..config import carried
from ..config.errors import ParamsError, UserError
from ..config.params import Params
from ..io import logs
from ..io.mongo.store import OnlineStore
from ..model.promotions import PromotionHistory
from .app import create_app
from .metrics import Metrics
from .models import Background, ChampionModel, FixedModel
from .server import bound, guarded, run, server_config
from .supervisor import Supervisor

_MOST_A_CORE = 4


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
    parser.add_argument(
        "--workers", default=1, type=int, metavar="N", help="procesos que responden en el puerto"
    )
    options = parser.parse_args(arguments)
    logs.keep_small()
    try:
        serve(carried.chosen(options), options.host, port(), options.workers)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def serve(params: Params, host: str, on_port: int, workers: int = 1) -> None:
    """Serve predictions on a port until a signal comes.

    One worker is this process itself; several are processes that this one watches over.

    Raises:
        ParamsError: that many workers make no sense here.
        ServiceError: the port is taken.
        InputError: there is no model.
        IntegrityError: the model's files are not what was registered.
    """
    most = _MOST_A_CORE * (os.cpu_count() or 1)
    if not 1 <= workers <= most:
        raise ParamsError(
            f"«--workers {workers}»: debe ser de 1 a {most}, {_MOST_A_CORE} por núcleo de esta "
            "máquina."
        )
    with bound(host, on_port) as listener:
        if workers > 1:
            Supervisor(params, host, listener, workers).run()
        else:
            _serve_alone(params, host, listener)


def _serve_alone(params: Params, host: str, listener: socket.socket) -> None:
    uri = os.environ.get("AIP_STORAGE_URI")
    metrics = Metrics()
    promotions = PromotionHistory(params)
    models = Background(
        lambda: FixedModel(uri, promotions) if uri else ChampionModel(promotions), metrics
    )
    app = create_app(models, OnlineStore(params), metrics)
    _run(uvicorn.Server(server_config(guarded(app, host))), listener, models)


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

    loader = threading.Thread(target=load, name="models", daemon=True)
    loader.start()
    try:
        run(server, listener)
    finally:
        stop.set()
    if failures:
        raise failures[0]


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
