"""``ingest``: events into the log."""

from __future__ import annotations

from typing import Any

import click

from ..config.params import Params
from ..config.spanish import number
from . import ingest_texts as texts
from . import usage
from .options import answer, json_option, say, with_params


@click.group(cls=usage.Group)
def ingest() -> None:
    """Publica eventos en el tema de Kafka; lo ya publicado se salta.

    Qué formas de listas y de historiales se leen lo dicen «ingest charts --help» e «ingest
    history --help»; qué es un archivo concreto y qué daría, «ingest inspect RUTA».
    """


@ingest.command("simulator")
@click.option("--live", is_flag=True, help="Sigue publicando con el reloj acelerado.")
@with_params
@json_option
def ingest_simulator(live: bool, params: Params, as_json: bool) -> None:
    """Genera eventos sintéticos: la historia o, con --live, su continuación en directo."""
    from .. import sources

    if live:
        sources.live(params, progress=say)
        return
    summary = sources.ingest_simulator(params, progress=say)
    answer(as_json, summary, [_ingested(summary)])


def _files(source: str, help_text: str, *, needs_paths: bool = True) -> None:
    """Add the command that publishes the files that a module of ``sources`` reads."""

    @ingest.command(source, help=help_text)
    @click.argument("paths", nargs=-1, required=needs_paths, metavar="RUTA...")
    @click.option(
        "--close",
        is_flag=True,
        help="Cierra también la última ventana: no llegará nada más de ella.",
    )
    @with_params
    @json_option
    def command(paths: tuple[str, ...], close: bool, params: Params, as_json: bool) -> None:
        from .. import sources

        summary = sources.ingest_files(params, source, paths, progress=say, close=close)
        answer(as_json, summary, _published(summary))


# The sources of files.
_files("charts", texts.CHARTS, needs_paths=False)
_files("history", texts.HISTORY)


@ingest.command("webapi", help=texts.WEBAPI)
@click.option("--live", is_flag=True, help="Sigue: una ronda en cada webapi_interval.")
@click.option("--close", is_flag=True, help="Cierra también la última ventana (sin --live).")
@with_params
@json_option
def ingest_webapi(live: bool, close: bool, params: Params, as_json: bool) -> None:
    from ..sources import webapi

    summary = webapi.ingest_webapi(params, live=live, close=close, progress=say)
    answer(as_json, summary, _live(summary) if live else _published(summary))


@ingest.command("inspect", help=texts.INSPECT)
@click.argument("paths", nargs=-1, required=True, metavar="RUTA...")
@with_params
@json_option
def inspect(paths: tuple[str, ...], params: Params, as_json: bool) -> None:
    from .. import sources
    from ..sources import inspecting

    found = sources.inspect_files(params, paths, progress=say)
    answer(as_json, found, inspecting.lines(found))


def _live(summary: dict[str, Any]) -> list[str]:
    return [
        f"{number(summary['polls'])} rondas, {number(summary['requests'])} peticiones: "
        f"{number(summary['items'])} elementos, {number(summary['events'])} eventos, "
        f"{number(summary['published'])} publicados."
    ]


def _ingested(summary: dict[str, Any]) -> str:
    return (
        f"{number(summary['published'])} registros publicados, "
        f"{number(summary['skipped'])} ya estaban."
    )


def _published(summary: dict[str, Any]) -> list[str]:
    lines = [
        f"{summary['told']}: {number(summary['published'])} publicados, "
        f"{number(summary['skipped'])} ya estaban."
    ]
    if summary["late"]:
        lines.append(
            f"{number(summary['late'])} de los publicados llegan tarde: sus ventanas están "
            "cerradas y constan como tardíos (spotify_late_events). Para contarlos usa otro topic."
        )
    if summary["late_left_out"]:
        lines.append(
            f"{number(summary['late_left_out'])} no se publican: sus ventanas están cerradas."
        )
    if summary["closed_until"]:
        lines.append(f"Ventanas cerradas hasta el {summary['closed_until'][:16]}.")
    return lines
