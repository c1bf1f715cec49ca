"""``cloud``: the production form, before and while it is there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..config.errors import ParamsError, UserError
from ..config.params import Params
from . import usage
from .options import answer, json_option, say, with_params

if TYPE_CHECKING:
    from ..operations.cloud.check import Finding

_POINTS = 40
"""Of the figure, from the lowest rate to the highest."""


@click.group(cls=usage.Group)
def cloud() -> None:
    """La forma de producción, en Google Cloud y MongoDB Atlas."""


@cloud.command(cls=usage.Command)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="Eventos por segundo [por defecto: events_per_second].",
)
@click.option(
    "--freshness",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="N",
    help="Segundos, como mucho, de poder cerrarse una ventana a leer sus predicciones.",
)
@click.option(
    "--months",
    type=click.FloatRange(min=0),
    default=12.0,
    show_default=True,
    metavar="N",
    help="Al cabo de cuántos meses se cuenta lo guardado.",
)
@click.option(
    "--figure",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="ARCHIVO",
    help="Dibuja el coste según el ritmo, en .png o .svg.",
)
@with_params
@json_option
def cost(
    rate: float | None,
    freshness: float,
    months: float,
    figure: Path | None,
    params: Params,
    as_json: bool,
) -> None:
    """Lo que costaría un mes, recurso a recurso, con precios de lista y cifras medidas."""
    if figure is not None and figure.suffix not in (".png", ".svg"):
        raise ParamsError(f"--figure {figure}: se espera un nombre que acabe en .png o .svg.")
    from ..operations.cloud import cost as costs
    from ..presentation.es.cloud import cost_lines

    found = costs.report(params, rate, months, freshness)
    if figure is not None:
        _draw(params, figure, months)
    answer(as_json, found.to_dict(), cost_lines(params, found))


def _draw(params: Params, path: Path, months: float) -> None:
    from ..operations.cloud import cost as costs
    from ..presentation.es.cloud import SERVICES
    from ..presentation.figures.cost import by_rate

    lowest, highest = min(costs.RATES), max(costs.RATES)
    rates = [lowest * (highest / lowest) ** (step / _POINTS) for step in range(_POINTS + 1)]
    found = [costs.estimate(params, rate, months).by_service() for rate in rates]
    layers = {name: [each[code] for each in found] for code, name in SERVICES.items()}
    plot = by_rate(rates, layers, params.platform.monthly_limit)
    if path.suffix == ".svg":
        path.write_text(plot.svg(), encoding="utf-8")
    else:
        plot.save(path)
    say(f"Gráfica en {path}")


_timeout = click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="N",
    help="Segundos para todo; lo que no responda en ellos no se sabe.",
)


@cloud.command(cls=usage.Command)
@_timeout
@with_params
@json_option
def check(timeout: float, params: Params, as_json: bool) -> None:
    """Si el perfil se puede desplegar: una fila por cosa, y qué hacer (código 1 si algo va mal)."""
    from ..operations.cloud import check as checks

    _tell(checks.check(params, timeout), as_json)


@cloud.command(cls=usage.Command)
@_timeout
@with_params
@json_option
def status(timeout: float, params: Params, as_json: bool) -> None:
    """Qué corre del perfil: tarea, registro, tablas, endpoint... (código 1 si algo va mal)."""
    from ..operations.cloud import status as running

    _tell(running.status(params, timeout), as_json)


_STEPS = ("check", "images", "platform", "model", "endpoint", "stream", "dashboards", "audit")
"""As ``operations.cloud.deploy`` has them, which brings Beam."""
_without = click.option(
    "--without",
    type=click.Choice(_STEPS),
    multiple=True,
    help="Deja fuera un paso (se puede repetir): lo que es de otro, o no está aquí.",
)


@cloud.command(cls=usage.Command)
@_without
@with_params
@json_option
def plan(without: tuple[str, ...], params: Params, as_json: bool) -> None:
    """Qué haría «cloud deploy», paso a paso, sin cambiar nada (código 1 si algo lo impide)."""
    _deploy(params, without, as_json, yes=False, wait=0.0)


@cloud.command(cls=usage.Command)
@click.option("--yes", is_flag=True, help="Lo hace; sin ella, solo dice qué haría.")
@_without
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    metavar="N",
    help="Segundos que la auditoría espera a lo pendiente.",
)
@with_params
@json_option
def deploy(yes: bool, without: tuple[str, ...], wait: float, params: Params, as_json: bool) -> None:
    """Despliega el perfil, en orden, y lo audita (código 1 si no cuadra o algo lo impide).

    Imágenes, plataforma, modelo, endpoint y tarea; lo que ya está, se queda. Se puede interrumpir y
    repetir: sigue por donde iba.
    """
    _deploy(params, without, as_json, yes=yes, wait=wait)


def _deploy(
    params: Params, without: tuple[str, ...], as_json: bool, *, yes: bool, wait: float
) -> None:
    from ..operations.cloud import deploy as deploying
    from ..presentation.es import cloud_deploy as words
    from ..presentation.es.operations import audit_lines
    from .models import learn

    report = deploying.deploy(params, learn, without=without, dry_run=not yes, wait=wait, say=say)
    audited = report.audit
    content = {
        "ok": report.is_well,
        "dry_run": not yes,
        "steps": [words.stage_content(each) for each in report.stages],
        "problems": _told(list(report.problems)),
        "audit": None if audited is None else audited.to_dict(),
    }
    lines = words.plan_lines(report, dry_run=not yes)
    answer(as_json, content, lines if audited is None else [*lines, "", *audit_lines(audited)])
    if yes and report.stopped is not None:
        raise UserError(words.why_stopped(report.stopped))
    if not report.is_well:
        sys.exit(1)


@cloud.command(cls=usage.Command)
@click.option("--yes", is_flag=True, help="Lo hace; sin ella, solo dice qué haría.")
@click.option("--data", is_flag=True, help="También los datos: tablas, documentos y archivo.")
@with_params
@json_option
def teardown(yes: bool, data: bool, params: Params, as_json: bool) -> None:
    """Quita lo que corre en la nube, en orden, y dice qué queda (código 1 si queda algo).

    Vacía la tarea, retira los modelos y borra el endpoint. Se puede interrumpir y repetir.
    """
    from ..operations.cloud import teardown as ending
    from ..presentation.es.cloud_check import found, teardown_lines

    report = ending.teardown(params, data=data, dry_run=not yes, say=say)
    content = report.to_dict() | {"dry_run": not yes, "left_words": found(report.left)}
    answer(as_json, content, teardown_lines(report, dry_run=not yes))
    if yes and not report.is_clean:
        sys.exit(1)


def _tell(findings: list[Finding], as_json: bool) -> None:
    """Write what was found; the status is 1 where something is wrong."""
    from ..presentation.es import cloud_check as words

    ok = all(each.state != "bad" for each in findings)
    answer(as_json, {"ok": ok, "checks": _told(findings)}, words.check_lines(findings))
    if not ok:
        sys.exit(1)


def _told(findings: list[Finding]) -> list[dict[str, Any]]:
    """Return what JSON has of findings, with their words."""
    from ..presentation.es import cloud_check as words

    return [
        vars(each) | {"found": words.found(each), "to_do": words.to_do(each)} for each in findings
    ]
