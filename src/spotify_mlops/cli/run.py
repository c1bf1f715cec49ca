"""``run`` and ``notebooks``: the main job, whole or in part."""

from __future__ import annotations

from typing import Any

import click

from ..config.overrides import value_lists
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
@click.option(
    "--param-grid",
    "grid",
    multiple=True,
    metavar="NOMBRE=V1,V2",
    callback=lambda ctx, option, values: value_lists(values),
    help="Con --only: una ejecución por valor (o por combinación), comparadas (se puede repetir).",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Con --param-grid: cuántas a la vez.",
)
@with_params_file
def notebooks(
    only: str | None,
    start: str | None,
    resume: bool,
    grid: dict[str, list[Any]],
    jobs: int,
    params_file: str,
    overrides: dict[str, Any],
) -> None:
    """Ejecuta los cuadernos con papermill y genera los informes."""
    from .main_job import run_grid, run_notebooks

    if grid:
        if only is None or start or resume:
            raise click.UsageError("«--param-grid» necesita «--only», y va sin --from ni --resume.")
        click.echo(f"Comparación: {run_grid(params_file, overrides, grid, only=only, jobs=jobs)}")
        return
    index = run_notebooks(params_file, overrides, only=only, start=start, resume=resume)
    click.echo(f"Informes: {index}")
