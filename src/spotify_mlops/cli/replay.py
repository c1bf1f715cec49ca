"""The command ``replay``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from ..config import params as parameters
from ..config.errors import ParamsError
from ..config.params import Params
from ..config.spanish import duration, number
from . import usage
from .options import answer, json_option, require, say, with_params_file

if TYPE_CHECKING:
    from ..operations.bounded import BoundedSummary, Runner


@click.command(cls=usage.Command)
@click.option(
    "--from",
    "source",
    type=click.Choice(["kafka", "archive"]),
    default="kafka",
    show_default=True,
    help="De dónde se lee el registro.",
)
@click.option(
    "--dataset", required=True, metavar="NOMBRE", help="Conjunto de datos nuevo que se llena."
)
@click.option(
    "--runner",
    type=click.Choice(["fnapi", "prism", "flink", "dataflow"]),
    default="fnapi",
    show_default=True,
    help="Quién ejecuta el grafo; las tablas no dependen de ello.",
)
@click.option(
    "--compare",
    is_flag=True,
    help="Compara las huellas de sus tablas con las de la tarea en directo (código 1 si difieren).",
)
@click.option(
    "--allowed-lateness",
    metavar="DURACIÓN",
    help="Admite eventos más tardíos (2h) en las mismas ventanas, y dice qué cambia con ellos.",
)
@click.option(
    "--wait",
    default=30.0,
    show_default=True,
    metavar="N",
    help="Segundos de espera a que la tarea en directo escriba lo que ha leído.",
)
@with_params_file
@json_option
def replay(
    source: str,
    dataset: str,
    runner: Runner,
    compare: bool,
    allowed_lateness: str | None,
    wait: float,
    params_file: str,
    overrides: dict[str, Any],
    as_json: bool,
) -> None:
    """Procesa otra vez todo el registro, con el mismo grafo, en otro conjunto de datos."""

    live = parameters.load(params_file, **overrides)
    own: dict[str, Any] = {"dataset": dataset}
    folding = allowed_lateness is not None
    if allowed_lateness is not None:
        own["allowed_lateness"] = parameters.parse_value("--allowed-lateness", allowed_lateness)
    params = parameters.load(params_file, **overrides | own)
    if params.bigquery.dataset == live.bigquery.dataset:
        raise ParamsError(f"«{dataset}» es el dataset del perfil: elige otro para la repetición.")
    if folding and compare:
        raise ParamsError("Con --allowed-lateness las tablas cambian: quita --compare.")
    if folding and params.windows.allowed_lateness <= live.windows.allowed_lateness:
        raise ParamsError(
            f"--allowed-lateness {allowed_lateness}: debe ser más que lo que admite el perfil "
            f"({duration(live.windows.allowed_lateness)})."
        )
    kafka = source == "kafka" or folding
    require(params, "bigquery")
    if kafka:
        require(params, "kafka")
    from ..operations import bounded

    summary = bounded.run(
        params,
        from_archive=source == "archive",
        replay=True,
        runner=runner,
        final_lateness=live.windows.allowed_lateness if folding else None,
        say=say,
    )
    content, lines, holds = summary.to_dict(), [_summary(summary)], True
    if compare or folding:
        say("Comparando con el dataset en directo")
        against = _folded if folding else _compared
        found, shown, holds = against(live, params, summary, wait)
        content |= found
        lines += ["", *shown]
    answer(as_json, content, lines)
    if not holds:
        sys.exit(1)


def _summary(summary: BoundedSummary) -> str:
    rows = ", ".join(f"{name} {number(count)}" for name, count in summary.rows.items())
    return f"{number(summary.records)} registros en {number(summary.seconds, 1)} s: {rows}."


def _folded(
    live: Params, params: Params, summary: BoundedSummary, wait: float
) -> tuple[dict[str, Any], list[str], bool]:
    from ..operations import late
    from ..presentation.es.operations import late_lines

    changes = late.changes(live, params, summary, wait)
    return {"changes": changes.to_dict()}, late_lines(changes), True


def _compared(
    live: Params, params: Params, summary: BoundedSummary, wait: float
) -> tuple[dict[str, Any], list[str], bool]:
    from ..operations import compare
    from ..presentation.es.operations import comparison_lines

    found = compare.compare(live, params, compare.Extent.of(summary), wait)
    equal = all(table.equal for table in found)
    content = {"equal": equal, "tables": [table.to_dict() for table in found]}
    return content, comparison_lines(found), equal
