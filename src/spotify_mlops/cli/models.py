"""``seal``: the models of the archive that this state directory vouches for."""

from __future__ import annotations

from typing import Any

import click

from ..config import params as parameters
from . import usage
from .options import answer, json_option, with_params


@click.command(cls=usage.Command)
@with_params
@json_option
def seal(params_file: str, overrides: dict[str, Any], as_json: bool) -> None:
    """Da por buenos los modelos del archivo y los sella con el secreto de esta carpeta.

    Para los de una versión anterior o los que vienen de otra carpeta de estado, si son de fiar.
    """
    from ..model.promotions import Schedule

    schedule = Schedule(parameters.load(params_file, **overrides))
    adopted = schedule.adopt()
    champion = schedule.champion()
    lines = [
        f"{schedule.model_name}@{version}  {digest}{'  campeón' if version == champion else ''}"
        for version, digest in adopted.items()
    ]
    content = {"uri": schedule.uri, "versions": adopted, "champion": champion}
    answer(as_json, content, lines or [f"No hay ningún modelo en {schedule.uri}."])
