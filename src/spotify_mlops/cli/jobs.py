"""``stream`` and ``audit``: the streaming job, and the proof that it lost nothing."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Any

import click

from ..config import params as parameters
from ..config.params import Params
from ..config.spanish import number
from . import usage
from .options import answer, engine_job, json_option, require, say, with_params, with_params_file


@click.command(cls=usage.Command)
@click.option("--until-caught-up", is_flag=True, help="Termina cuando responde de todo lo que hay.")
@click.option(
    "--runner",
    type=click.Choice(["prism", "flink", "dataflow"]),
    help="Quién ejecuta el grafo; las tablas no dependen de ello. [por defecto: engine_runner]",
)
@with_params_file
@json_option
def stream(
    until_caught_up: bool,
    runner: str | None,
    params_file: str,
    overrides: dict[str, Any],
    as_json: bool,
) -> None:
    """La tarea en directo: Kafka a BigQuery, MongoDB y archivo, con predicciones."""
    chosen = {} if runner is None else {"engine_runner": runner}
    params = parameters.load(params_file, **overrides | chosen)
    require(params)
    # After the check: it brings Beam, which takes seconds.
    from ..io.local import processes
    from ..operations import apps
    from ..operations import stream as job

    with nullcontext() if until_caught_up else processes.registered(apps.STREAM):
        summary = job.run(params, until_caught_up=until_caught_up, say=say)
    answer(
        as_json,
        summary.to_dict(),
        [
            f"{number(summary.records)} registros leídos, "
            f"{number(summary.windows)} ventanas escritas."
        ],
    )


@click.command(cls=usage.Command)
@click.option(
    "--wait",
    default=30.0,
    show_default=True,
    metavar="N",
    help="Segundos de espera a lo pendiente.",
)
@click.option(
    "--skew",
    is_flag=True,
    help="Compara, valor a valor, la tarea en directo, la repetición, los cuadernos y el servicio.",
)
@with_params
@json_option
def audit(wait: float, skew: bool, params: Params, as_json: bool) -> None:
    """Comprueba que cada registro de Kafka está contabilizado una vez (código 1 si no)."""

    if skew:
        _skew(params, wait, as_json)
        return
    require(params, "kafka", "bigquery")
    from ..operations import audit as auditing
    from ..presentation.es.operations import audit_lines

    report = auditing.recorded(params, wait=wait)
    job, told = (None, []) if report.holds else engine_job(params)
    answer(as_json, report.to_dict() | {"job": job}, [*audit_lines(report), *told])
    if not report.holds:
        sys.exit(1)


def _skew(params: Params, wait: float, as_json: bool) -> None:

    require(params)
    from ..operations import skew
    from ..presentation.es.operations import skew_lines

    report = skew.skew(params, wait, say)
    answer(as_json, report.to_dict(), skew_lines(report))
    if not report.holds:
        sys.exit(1)
