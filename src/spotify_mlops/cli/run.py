"""``run`` and ``notebooks``: the main job, whole or in part."""

from __future__ import annotations

from typing import Any

import click

from . import usage
from .options import with_params_file


@click.command(cls=usage.Command)
@with_params_file
def run(params_file: str, overrides: dict[str, Any]) -> None:
    """Todo: servicios, eventos, cuadernos, modelo, despliegue, directo, auditoría, informes."""
    from .main_job import run_all

    run_all(params_file, overrides)


@click.command(cls=usage.Command)
@click.option("--only", metavar="N", help="Solo este cuaderno (3, 03 o 03_preparation).")
@click.option("--from", "start", metavar="N", help="Desde este cuaderno.")
@click.option("--resume", is_flag=True, help="Desde el que falló la última vez.")
@with_params_file
def notebooks(
    only: str | None,
    start: str | None,
    resume: bool,
    params_file: str,
    overrides: dict[str, Any],
) -> None:
    """Ejecuta los cuadernos con papermill y genera los informes."""
    from .main_job import run_notebooks

    index = run_notebooks(params_file, overrides, only=only, start=start, resume=resume)
    click.echo(f"Informes: {index}")
