"""``dashboard`` and ``serve``: what one looks at, and what one asks."""

from __future__ import annotations

from typing import Any

import click

from ..config import params as parameters
from ..io.http import ports
from . import usage
from .options import say, with_params


@click.command(cls=usage.Command)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=ports.PAGE,
    show_default=True,
    metavar="N",
    help="Puerto en el que se abre.",
)
@with_params
def dashboard(port: int, params_file: str, overrides: dict[str, Any]) -> None:
    """La página en directo: predicciones, actividad, modelo y estado del sistema."""
    from ..io import answering
    from ..io.bigquery import warehouse
    from ..presentation.dashboard.server import serve

    params = parameters.load(params_file, **overrides)
    answering.require(params, "bigquery")
    warehouse.ensure_dataset(params)
    serve(params, port, say)


@click.command("serve", cls=usage.Command)
@with_params
def serve_endpoint(params_file: str, overrides: dict[str, Any]) -> None:
    """El servidor de predicción, con el contrato de contenedores de Vertex AI."""
    from ..serving.__main__ import port, serve

    serve(parameters.load(params_file, **overrides), "127.0.0.1", port())
