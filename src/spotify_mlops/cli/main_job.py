"""The main job, end to end: what ``make run`` does."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click

from ..config import content, modes, paths
from ..config import params as parameters
from ..config.errors import IntegrityError
from ..config.params import Params
from ..config.references import LOCAL
from ..config.spanish import number
from .options import engine_parts


def run_all(params_file: str, overrides: Mapping[str, Any]) -> None:
    """Start services, fill the log, run the notebooks, render the reports, say what to open.

    An interruption stops everything, so that the next run starts clean.
    """
    from local_services import services

    try:
        _run_all(params_file, overrides)
    except KeyboardInterrupt:
        click.secho("\nInterrumpido: se detiene todo.", fg="yellow", err=True)
        services.down(progress=_say)
        raise


def _run_all(params_file: str, overrides: Mapping[str, Any]) -> None:
    began = time.monotonic()
    params = parameters.load(params_file, **overrides)
    _say_before(params)
    content.check_training(params)
    _adopt(params)
    steps = _Steps(5)
    steps.next("Servicios locales")
    from local_services import tools

    with ThreadPoolExecutor(1, thread_name_prefix="prism") as pool:
        # The first time, Prism is built meanwhile: nothing needs it before the last notebook.
        prism = pool.submit(tools.prism, _say)
        page = _fill(params, steps)
        prism.result()
    steps.next("Los seis notebooks de CRISP-DM")
    index = run_notebooks(params_file, overrides)
    steps.next("Auditoría, y alguien que observe el modelo")
    from ..operations import apps

    apps.start_observer(params)
    from ..operations import audit
    from ..presentation.es.operations import audit_lines

    report = audit.audit(params)
    audit.record(params, report)
    click.echo("\n".join(audit_lines(report)))
    if not report.holds:
        raise IntegrityError("La auditoría no cuadra; mira «spotify-mlops status» y los registros.")
    _farewell(params, index, page, time.monotonic() - began)


def _say_before(params: Params) -> None:
    said = content.said_before(params)
    if said:
        _say(said)


def _adopt(params: Params) -> None:
    """Seal the models that a release without seals left in this state folder, and say so.

    Only there: nobody but the owner writes in it. What was sealed once is never sealed again
    without being asked (``spotify-mlops seal``).
    """
    from ..model.promotions import PromotionHistory

    promotions = PromotionHistory(params)
    if params.cloud.archive == LOCAL and promotions.is_of_before():
        adopted = promotions.adopt()
        _say(f"Modelos de una versión anterior, sellados: {', '.join(adopted) or 'ninguno'}")


def _fill(params: Params, steps: _Steps) -> str:
    """Start services and live page, publish the source, run the graph over the whole log.

    Returns:
        The live page's address.
    """
    from local_services import services

    services.up(_say, **engine_parts(params))
    from ..io.bigquery import warehouse
    from ..operations import apps, bounded

    apps.stop_apps()
    warehouse.ensure_dataset(params, rebuild=_say)
    page = apps.start_dashboard(params).addresses["url"]
    _say(f"Página en directo, que se irá llenando: {page}")
    steps.next("Eventos al registro de Kafka")
    published = ingest(params)
    _say(
        f"{number(published['published'])} registros publicados, "
        f"{number(published['skipped'])} ya estaban"
    )
    steps.next("Todo el registro por el grafo de Beam, hasta BigQuery")
    summary = bounded.ensure(params, say=_say)
    _say(f"{number(summary.records)} registros en {number(summary.seconds, 1)} s")
    return page


def ingest(params: Params) -> dict[str, Any]:
    """Publish what the params' source has and the log lacks."""
    from .. import sources

    if params.sources.source == "webapi":
        from ..sources.webapi import ingest_webapi

        return ingest_webapi(params, progress=_say)  # its window is not over
    if params.sources.source == "charts":
        return sources.ingest_files(params, "charts", [], progress=_say, close=True)
    return sources.ingest_simulator(params, progress=_say)


def run_notebooks(
    params_file: str,
    overrides: Mapping[str, Any],
    *,
    only: str | None = None,
    start: str | None = None,
    resume: bool = False,
) -> Path:
    """Execute notebooks and render the reports of all that have been executed.

    Returns:
        The reports' first page.
    """
    from ..presentation import notebooks, report

    reports = paths.root() / "reports"
    _say_before(parameters.load(params_file, **overrides))
    with modes.shown(reports):
        with notebooks.console_progress() as progress:
            notebooks.run(
                params_file, overrides, only=only, start=start, resume=resume, progress=progress
            )
        params = parameters.load(params_file, **overrides)
        folder = reports / params.profile
        report.render(params, folder / "executed", folder)
    return folder / "index.html"


def run_grid(
    params_file: str,
    overrides: Mapping[str, Any],
    grid: Mapping[str, list[Any]],
    *,
    only: str,
    jobs: int,
) -> Path:
    """Execute one notebook for each combination of values; return the page that compares them."""
    from ..presentation import notebooks, sweep

    with modes.shown(paths.root() / "reports"), notebooks.console_progress() as progress:
        return sweep.run(
            params_file, grid, only=only, jobs=jobs, overrides=overrides, progress=progress
        )


class _Steps:
    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0

    def next(self, title: str) -> None:
        self._done += 1
        click.secho(f"[{self._done}/{self._total}] {title}", bold=True, err=True)


def _say(message: str) -> None:
    click.secho(f"      {message}", fg="cyan", err=True)


def _farewell(params: Params, index: Path, page: str, seconds: float) -> None:
    """Say what happened, what to open and what to try next."""
    from ..io.addresses import address
    from ..model.endpoint import Endpoint
    from ..presentation.report import headline, history

    vertex = address(params.cloud.vertex, "vertex", "url")
    given = ["--params", params.profile] if params.profile != "local" else []
    command = " ".join(["spotify-mlops", "{}", *given])
    click.secho(f"\nListo en {number(seconds)} s.", bold=True)
    for figure in headline.headline(history.last(index.parent), params)["figures"]:
        click.echo(f"  {figure.name}: {figure.value} ({figure.note})")
    for title, lines in (
        (
            "Qué abrir",
            (
                ("En directo", page),
                ("Informes", str(index)),
                ("Endpoint", f"{vertex}/v1/{Endpoint(params).name}:predict"),
            ),
        ),
        (
            "Qué probar",
            (
                ("Qué está en marcha", command.format("status")),
                ("Auditar otra vez", command.format("audit")),
                ("Explorar", "make lab"),
                ("Romperlo", "README, «Diez minutos»: nada se pierde"),
                ("Detenerlo todo", "make stop (los datos se quedan)"),
            ),
        ),
    ):
        click.secho(title, bold=True)
        for name, what in lines:
            click.echo(f"  {name:<19} {what}")
