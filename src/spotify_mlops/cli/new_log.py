"""The command ``new-log``."""

from __future__ import annotations

from dataclasses import asdict

import click

from ..config.params import Params
from . import usage
from .options import answer, json_option, say, with_params


@click.command("new-log", cls=usage.Command)
@click.option("--yes", is_flag=True, help="Hazlo; sin esto solo dice qué haría.")
@with_params
@json_option
def new_log(yes: bool, params: Params, as_json: bool) -> None:
    """Empieza con otro registro: aparta el archivo del anterior y vacía sus tablas.

    Para un tema que se creó de nuevo o perdió su final. Los modelos y sus promociones se quedan.
    Después, «spotify-mlops run» o «stream».
    """
    from ..operations import new_log as job
    from ..presentation.es.operations import plan_lines

    if not yes:
        plan = job.plan(params)
        lines = [*plan_lines(plan, params), "Con --yes se hace."]
        answer(as_json, {"done": False, "plan": asdict(plan)}, lines)
        return
    aside = job.begin(params, say)
    answer(as_json, {"done": True, "aside": aside}, [f"Hecho. Lo anterior está en {aside}"])
