"""``python -m spotify_mlops.serving``: the server of a container and of ``spotify-mlops serve``."""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import sys

import uvicorn

from .. import params as parameters
from ..errors import ServiceError, UserError
from ..model.schedule import Schedule
from .app import create_app
from .models import ChampionModel, FixedModel, ModelSource
from .store import OnlineStore


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal comes; return the exit status.

    The model is the bundle at ``AIP_STORAGE_URI``, or else the schedule's champion. The port is
    ``AIP_HTTP_PORT`` (8080 without it).
    """
    parser = argparse.ArgumentParser(
        prog="python -m spotify_mlops.serving", description="Servidor de predicciones."
    )
    parser.add_argument("--params", default="local", help="perfil o archivo de parámetros")
    parser.add_argument("--host", default="127.0.0.1", help="dirección (0.0.0.0 en un contenedor)")
    options = parser.parse_args(arguments)
    try:
        serve(parameters.load(options.params), options.host, port())
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def serve(params: parameters.Params, host: str, on_port: int) -> None:
    """Serve predictions on a port until a signal comes.

    Raises:
        ServiceError: the port is taken.
        InputError: there is no model.
        IntegrityError: the model's files are not what was registered.
    """
    with _bound(host, on_port) as listener:
        uri = os.environ.get("AIP_STORAGE_URI")
        models: ModelSource = FixedModel(uri) if uri else ChampionModel(Schedule(params))
        app = create_app(models, OnlineStore(params))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how one ends it by hand
            server.run(sockets=[listener])


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
        raise parameters.ParamsError(f"AIP_HTTP_PORT = «{text}» no es un puerto.")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
