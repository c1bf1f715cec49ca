"""What the commands share: their options, and how they answer."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..config import params as parameters
from ..config.errors import ServiceError
from ..config.overrides import overrides
from ..config.params import Params
from ..config.references import LOCAL

if TYPE_CHECKING:
    from ..io.answering import Service

_Command = TypeVar("_Command", bound=Callable[..., Any])


def with_params(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--params`` and ``--set``: the argument ``params``, read before the command begins."""

    @with_params_file
    @functools.wraps(command)
    def loaded(params_file: str, overrides: dict[str, Any], **arguments: Any) -> Any:
        return command(params=parameters.load(params_file, **overrides), **arguments)

    return loaded


def with_params_file(command: _Command) -> _Command:
    """Add ``--params`` and ``--set``: the arguments ``params_file`` and ``overrides``."""
    command = click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="NOMBRE=VALOR",
        callback=lambda ctx, option, values: overrides(values),
        help="Cambia un parámetro (se puede repetir).",
    )(command)
    return click.option(
        "--params",
        "params_file",
        default="local",
        show_default=True,
        metavar="ARCHIVO",
        help="Archivo de parámetros, o el nombre de un perfil de params/.",
    )(command)


def require(params: Params, *services: Service) -> None:
    """Refuse to begin while one of these does not answer; none named is all (`io.answering`)."""
    from ..io import answering

    answering.require(params, *services)


def engine_job(params: Params) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the streaming job that an engine runs, for programs and for people; none on Prism."""
    from ..operations.engines import cluster
    from ..presentation.es.operations import job_line

    try:
        found = cluster.running(params)
    except ServiceError as error:
        return None, [f"Tarea: no se sabe. {error}"]
    return (None, []) if found is None else (found.to_dict(), [f"Tarea en {job_line(found)}"])


def engine_parts(params: Params, engine: str | None = None) -> dict[str, Any]:
    """Return what `services.up` is to start of the engines on this machine.

    Args:
        params: say which engine, and where it is.
        engine: another one, on this machine.
    """
    wanted = engine or params.engine.runner
    where = {"flink": params.engine.flink_rest, "dataflow": params.dataflow.endpoint}
    if wanted not in where or (engine is None and where[wanted] != LOCAL):
        return {}
    return {
        "task_managers": params.engine.task_managers,
        "with_dataflow": wanted == "dataflow",
    }


def json_option(command: _Command) -> _Command:
    """Add ``--json``: the argument ``as_json``."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Escribe el resultado como un objeto JSON."
    )(command)


def say(message: str) -> None:
    """Tell how far the work is, on standard error."""
    click.secho(f"· {message}", fg="cyan", err=True)


def answer(as_json: bool, content: dict[str, Any], lines: list[str]) -> None:
    """Write the result of a command: one JSON object, or lines for people."""
    if as_json:
        click.echo(json.dumps(content, default=str, ensure_ascii=False))
    else:
        for line in lines:
            click.echo(line)
