"""``dashboard`` and ``serve``: what one looks at, and what one asks."""

from __future__ import annotations

import click

from ..config.params import Params
from ..io.http import ports
from . import usage
from .options import require, say, with_params


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
def dashboard(port: int, params: Params) -> None:
    """La página en directo: predicciones, actividad, modelo y estado del sistema."""
    from ..io.bigquery import warehouse
    from ..presentation.dashboard.server import serve

    require(params, "bigquery")
    warehouse.ensure_dataset(params)
    serve(params, port, say)


@click.command("serve", cls=usage.Command)
@click.option(
    "--workers",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Procesos que responden en el mismo puerto.",
)
@with_params
def serve_endpoint(workers: int, params: Params) -> None:
    """El servidor de predicción, con el contrato de contenedores de Vertex AI."""
    from ..serving.__main__ import port, serve

    serve(params, "127.0.0.1", port(), workers)
