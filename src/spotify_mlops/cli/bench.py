"""``bench``: figures, beside their baselines."""

from __future__ import annotations

import sys

import click

from ..config.params import Params
from ..config.references import LOCAL
from ..config.spanish import number
from . import usage
from .options import answer, json_option, say, with_params

_ENDPOINTS = ("kafka_bootstrap", "bigquery_rest", "bigquery_grpc", "mongo_uri", "vertex")


@click.command(cls=usage.Command)
@click.argument(
    "what",
    type=click.Choice(
        [
            *("pipeline", "freshness", "endpoint", "sinks", "growth", "backlog", "sources"),
            *("engines", "recovery", "dashboard"),
        ]
    ),
)
@click.option(
    "--events",
    metavar="N",
    type=int,
    help="Eventos del registro (pipeline, sinks, backlog, engines) o del mayor (growth); "
    "filas de la lista (sources); predicciones (dashboard).",
)
@click.option(
    "--rate",
    metavar="N",
    type=float,
    help="Eventos por segundo (freshness, engines, recovery); sin ella, freshness mide cuatro "
    "casos.",
)
@click.option(
    "--seconds",
    metavar="N",
    type=float,
    help="Duración de un caso (freshness, endpoint, engines, dashboard) o de todo (sinks).",
)
@with_params
@json_option
def bench(what: str, params: Params, as_json: bool, **given: float | None) -> None:
    """Mide, siempre al lado de su referencia en la misma ejecución (véase benchmarks/).

    Con servicios propios, que empiezan vacíos; al acabar no queda nada de ellos. Las cifras
    «machine» dicen cómo va la máquina al acabar, al lado de cómo iba al empezar.
    """
    import importlib
    import inspect

    from local_services.apart import BENCH, apart

    from ..config import paths

    sys.path.insert(0, str(paths.root() / "benchmarks"))
    measure = importlib.import_module(what).run
    size = {name: value for name, value in given.items() if value is not None}
    unknown = size.keys() - inspect.signature(measure).parameters
    if unknown:
        raise click.UsageError(f"«bench {what}» no admite --{min(unknown)}.")
    yardstick = importlib.import_module("yardstick")
    before = yardstick.speeds()
    with apart(BENCH, say):
        figures = measure(params.replace(**dict.fromkeys(_ENDPOINTS, LOCAL)), say, **size)
    figures += yardstick.figures(before)
    lines = [
        f"{f['name']:<32} {_figure(f['value']):>12} {f['unit']:<9} "
        f"referencia {_figure(f['baseline'])}  ×{_figure(f['ratio'])}"
        for f in figures
    ]
    answer(as_json, {"figures": figures}, lines)


def _figure(value: float | None) -> str:
    """Write a figure with the decimals that it was rounded to."""
    decimals = len(str(value).partition(".")[2]) if isinstance(value, float) else 0
    return number(value, decimals)
