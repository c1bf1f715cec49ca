"""``ingest``: events into the log."""

from __future__ import annotations

from typing import Any

import click

from ..config.params import Params
from ..config.spanish import number
from . import usage
from .options import answer, json_option, say, with_params


@click.group(cls=usage.Group)
def ingest() -> None:
    """Publica eventos en el tema de Kafka; lo ya publicado se salta."""


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
    @with_params
    @json_option
    def command(paths: tuple[str, ...], params: Params, as_json: bool) -> None:
        from .. import sources

        summary = sources.ingest_files(params, source, paths, progress=say)
        answer(as_json, summary, [_ingested(summary)])


# The sources of files.
_files(
    "charts",
    "Publica listas semanales (CSV o CSV.GZ; carpeta, archivo o RUTA=PAÍS).",
    needs_paths=False,
)
_files(
    "history",
    "Publica historiales de escucha de Spotify o ListenBrainz (JSON; archivo o RUTA=PAÍS).",
)


def _ingested(summary: dict[str, Any]) -> str:
    return (
        f"{number(summary['published'])} registros publicados, "
        f"{number(summary['skipped'])} ya estaban."
    )
