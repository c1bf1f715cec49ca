"""``archive``: what an operator does with the archive of the log."""

from __future__ import annotations

import click

from ..config.params import Params
from ..config.spanish import number
from . import usage
from .options import answer, json_option, say, with_params


@click.group(cls=usage.Group)
def archive() -> None:
    """El archivo del registro (Parquet): con él se rehace todo lo demás."""


@archive.command(cls=usage.Command)
@with_params
@json_option
def compact(params: Params, as_json: bool) -> None:
    """Junta los ficheros pequeños: los mismos registros en menos ficheros, mayores.

    La tarea en directo lo hace sola mientras está en marcha. Se puede interrumpir y repetir, y
    otros pueden leer y escribir a la vez.
    """
    # After the check: it brings Beam, which takes seconds.
    from ..io.archive import compaction

    done = compaction.compact(params, say)
    lines = [
        f"{number(done.files)} ficheros ({_megabytes(done.bytes)}) en {number(done.merged)} "
        f"({_megabytes(done.merged_bytes)}), con {number(done.records)} registros."
        if done.merged
        else "No hay nada que juntar."
    ]
    if done.removed:
        lines.append(f"{number(done.removed)} ficheros sobraban: otro tenía lo mismo.")
    answer(as_json, done.to_dict(), lines)


def _megabytes(size: int) -> str:
    return f"{number(size / 1e6, 1)} MB"
