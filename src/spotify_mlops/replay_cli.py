"""The command ``replay``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from . import params as parameters
from . import usage
from .errors import ParamsError
from .options import answer, json_option, number, say, with_params
from .params import Params

if TYPE_CHECKING:
    from .jobs.bounded import BoundedSummary, Runner


@click.command(cls=usage.Command)
@click.option(
    "--from",
    "source",
    type=click.Choice(["kafka", "archive"]),
    default="kafka",
    show_default=True,
    help="De dónde se lee el registro.",
)
@click.option("--dataset", required=True, metavar="NOMBRE", help="Dataset nuevo que se llena.")
@click.option(
    "--runner",
    type=click.Choice(["fnapi", "prism"]),
    default="fnapi",
    show_default=True,
    help="Quién ejecuta el grafo; las tablas no dependen de ello.",
)
@click.option(
    "--compare",
    is_flag=True,
    help="Compara las huellas de las tablas con las del dataset en directo (código 1 si difieren).",
)
@click.option(
    "--wait",
    default=30.0,
    show_default=True,
    metavar="N",
    help="Segundos de espera a que la tarea en directo escriba lo que ha leído.",
)
@with_params
@json_option
def replay(
    source: str,
    dataset: str,
    runner: Runner,
    compare: bool,
    wait: float,
    params_file: str,
    overrides: dict[str, Any],
    as_json: bool,
) -> None:
    """Procesa otra vez todo el registro, con el mismo grafo, en otro dataset."""
    from . import clients

    live = parameters.load(params_file, **overrides)
    params = parameters.load(params_file, **overrides | {"dataset": dataset})
    if params.dataset == live.dataset:
        raise ParamsError(f"«{dataset}» es el dataset del perfil: elige otro para la repetición.")
    clients.require(params, "bigquery", *(["kafka"] if source == "kafka" else []))
    from .jobs import bounded

    summary = bounded.run(
        params, from_archive=source == "archive", replay=True, runner=runner, say=say
    )
    content, lines, holds = summary.to_dict(), [_summary(summary)], True
    if compare:
        say("Comparando con el dataset en directo")
        found, shown, holds = _compared(live, params, summary, wait)
        content |= found
        lines += ["", *shown]
    answer(as_json, content, lines)
    if not holds:
        sys.exit(1)


def _summary(summary: BoundedSummary) -> str:
    rows = ", ".join(f"{name} {number(count)}" for name, count in summary.rows.items())
    return f"{number(summary.records)} registros en {summary.seconds:.1f} s: {rows}."


def _compared(
    live: Params, params: Params, summary: BoundedSummary, wait: float
) -> tuple[dict[str, Any], list[str], bool]:
    from .jobs import compare

    found = compare.compare(live, params, compare.Extent(summary.ends, summary.watermark), wait)
    equal = all(table.equal for table in found)
    content = {"equal": equal, "tables": [table.to_dict() for table in found]}
    return content, compare.as_lines(found), equal
