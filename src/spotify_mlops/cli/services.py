"""``up``, ``down``, ``status`` and ``token``: what runs on this machine."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from ..config import params as parameters
from ..config.errors import ServiceError, UserError
from ..config.params import Params
from ..config.references import LOCAL
from . import usage
from .options import engine_job, engine_parts, json_option, say, with_params

if TYPE_CHECKING:
    from local_services.services import ServiceStatus

_WIDTH = len("flink-workers")
"""Of the names of what runs."""


@click.command(cls=usage.Command)
@with_params
@click.option(
    "--engine",
    type=click.Choice(["prism", "flink", "dataflow"]),
    help="Motor de la tarea: con «flink», además, un clúster de Flink; con «dataflow», también "
    "un Dataflow local [por defecto: el de los parámetros].",
)
def up(params: Params, engine: str | None) -> None:
    """Arranca los servicios (Kafka, BigQuery, MongoDB, Vertex AI) y espera a que respondan."""
    from local_services import services

    for record in services.up(say, **engine_parts(params, engine)).values():
        addresses = ", ".join(record.addresses.values())
        click.echo(f"{record.name:<{_WIDTH}} en marcha  {addresses}")


@click.command(cls=usage.Command)
def down() -> None:
    """Detiene los servicios y los procesos; los datos se conservan."""
    from local_services import services
    from local_services.apart import BENCH, end_abandoned

    services.down(progress=say)
    end_abandoned(BENCH)
    click.echo("Todo detenido. Los datos siguen en su sitio.")


@click.command(cls=usage.Command)
@with_params
@json_option
@click.option("--pid", "pid_of", metavar="NOMBRE", help="Solo el número de proceso de NOMBRE.")
def status(params: Params, as_json: bool, pid_of: str | None) -> None:
    """Dice qué está en marcha, cómo acabó lo que se cayó y cuánto retraso hay."""
    from local_services import services

    found = services.status()
    if pid_of is not None:
        click.echo(_pid(found, pid_of))
        return
    words = {
        "running": ("en marcha", "green"),
        "unhealthy": ("no responde", "yellow"),
        "broken": ("no escribe", "red"),
        "crashed": ("caído", "red"),
        "stopped": ("detenido", None),
        "stray": ("sin constar", "yellow"),
    }
    kafka = next(item for item in found if item.name == "kafka")
    reachable = params.kafka.bootstrap != LOCAL or kafka.state == "running"
    lag, told = _lag(params) if reachable else (None, [])
    job, told_of_job = engine_job(params)
    if as_json:
        processes = [vars(item) for item in found]
        click.echo(json.dumps({"processes": processes, "lag": lag, "job": job}, default=str))
    else:
        for item in found:
            word, colour = words[item.state]
            click.secho(f"{item.name:<{_WIDTH}} {word:<12}", fg=colour, nl=False)
            click.echo(
                f" {item.pid or '':>8}  {', '.join(item.addresses.values())}  {item.log or ''}"
            )
            if item.reason:
                click.echo(f"    {item.reason}")
            if item.log_tail:
                click.echo(
                    "".join(f"    {line}\n" for line in item.log_tail.splitlines()), nl=False
                )
        for line in (*told, *told_of_job):
            click.echo(line)
    if any(item.state in services.FAULTS for item in found):
        sys.exit(1)


def _pid(found: list[ServiceStatus], name: str) -> int:
    """Return the pid of a process that runs.

    Raises:
        ServiceError: it does not.
    """
    for item in found:
        if item.name == name and item.pid is not None and item.state in ("running", "unhealthy"):
            return item.pid
    raise ServiceError(f"«{name}» no está en marcha: «spotify-mlops status» dice qué lo está.")


def _lag(params: parameters.Params) -> tuple[dict[str, Any] | None, list[str]]:
    """Return how far behind the streaming job is, for programs and for people."""
    from ..operations import lag
    from ..presentation.es.operations import lag_lines

    try:
        found = lag.measure(params)
    except UserError as error:  # nothing was published yet, or Kafka ended meanwhile
        return None, [f"Retraso: no se sabe. {error}"]
    return found.to_dict(), lag_lines(found)


@click.command(cls=usage.Command)
@click.argument("server", metavar="SERVIDOR", type=click.Choice(["bigquery", "vertex", "serving"]))
@click.option("--header", is_flag=True, help="La cabecera entera, para «curl -H @-».")
def token(server: str, header: bool) -> None:
    """Escribe la clave que pide un servidor local: bigquery, vertex o serving."""
    from ..io.http import guard
    from ..io.local import secret

    key = secret.key(server)
    click.echo(f"Authorization: {guard.authorization(key)}" if header else key)
