"""The command line. Imports are inside the commands: ``--help`` and errors come at once."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from ..config import modes
from ..config import params as parameters
from ..config.errors import ServiceError, UserError, is_outage
from ..config.params import LOCAL, Params
from ..config.spanish import number
from ..io import logs
from ..io.http import ports
from . import usage
from .archive import archive
from .dead_letters import dead_letters
from .monitor import monitor
from .new_log import new_log
from .options import answer, json_option, say, with_params
from .replay import replay

if TYPE_CHECKING:
    from local_services.services import ServiceStatus

USAGE = 2
UNEXPECTED = 70
"""A defect of the program, not something that its user can mend (EX_SOFTWARE)."""
INTERRUPTED = 130
_ENDPOINTS = ("kafka_bootstrap", "bigquery_rest", "bigquery_grpc", "mongo_uri", "vertex")
_HINT = (
    "Un servicio falla o el disco está lleno: «spotify-mlops status» dice cuál, y "
    "«spotify-mlops up» lo repara."
)


class _Group(usage.Group):
    """Shows where an error comes from, when asked with ``--debug``."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.Abort, click.ClickException):
            raise
        except Exception:
            if ctx.params.get("debug"):
                traceback.print_exc()
            raise


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Muestra la traza completa de un error.")
def app(debug: bool) -> None:
    """Predice el nivel de popularidad (Alta / Media / Baja) de canciones por país.

    Empieza por «make run»; «make stop» lo detiene todo.
    """
    logs.keep_small()
    log = logging.StreamHandler()
    if not debug:  # a job that fails says why in one line; Beam would add its traceback, four times
        log.addFilter(logging.Filter(__package__))
    logging.basicConfig(level=logging.INFO if debug else logging.ERROR, handlers=[log])


@app.command()
def up() -> None:
    """Arranca los servicios (Kafka, BigQuery, MongoDB, Vertex AI) y espera a que respondan."""
    from local_services import services

    for record in services.up(progress=say).values():
        addresses = ", ".join(record.addresses.values())
        click.echo(f"{record.name:<10} en marcha  {addresses}")


@app.command()
def down() -> None:
    """Detiene los servicios y los procesos; los datos se conservan."""
    from local_services import services
    from local_services.apart import BENCH, end_abandoned

    services.down(progress=say)
    end_abandoned(BENCH)
    click.echo("Todo detenido. Los datos siguen en su sitio.")


@app.command()
@with_params
@json_option
@click.option("--pid", "pid_of", metavar="NOMBRE", help="Solo el número de proceso de NOMBRE.")
def status(params_file: str, overrides: dict[str, Any], as_json: bool, pid_of: str | None) -> None:
    """Dice qué está en marcha, cómo acabó lo que se cayó y cuánto retraso hay."""
    from local_services import services

    params = parameters.load(params_file, **overrides)
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
    reachable = params.kafka_bootstrap != LOCAL or kafka.state == "running"
    lag, told = _lag(params) if reachable else (None, [])
    if as_json:
        processes = [vars(item) for item in found]
        click.echo(json.dumps({"processes": processes, "lag": lag}, default=str))
    else:
        for item in found:
            word, colour = words[item.state]
            click.secho(f"{item.name:<10} {word:<12}", fg=colour, nl=False)
            click.echo(
                f" {item.pid or '':>8}  {', '.join(item.addresses.values())}  {item.log or ''}"
            )
            if item.reason:
                click.echo(f"    {item.reason}")
            if item.log_tail:
                click.echo(
                    "".join(f"    {line}\n" for line in item.log_tail.splitlines()), nl=False
                )
        for line in told:
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

    try:
        found = lag.measure(params)
    except UserError as error:  # nothing was published yet, or Kafka ended meanwhile
        return None, [f"Retraso: no se sabe. {error}"]
    return found.to_dict(), lag.as_text(found)


@app.group()
def ingest() -> None:
    """Publica eventos en el tema de Kafka; lo ya publicado se salta."""


@ingest.command("simulator")
@click.option("--live", is_flag=True, help="Sigue publicando con el reloj acelerado.")
@with_params
@json_option
def ingest_simulator(
    live: bool, params_file: str, overrides: dict[str, Any], as_json: bool
) -> None:
    """Genera eventos sintéticos: la historia o, con --live, su continuación en directo."""
    from .. import sources

    params = parameters.load(params_file, **overrides)
    if live:
        sources.live(params, progress=say)
        return
    summary = sources.ingest_simulator(params, progress=say)
    answer(as_json, summary, [_ingested(summary)])


@ingest.command("charts")
@click.argument("paths", nargs=-1, metavar="RUTA...")
@with_params
@json_option
def ingest_charts(
    paths: tuple[str, ...], params_file: str, overrides: dict[str, Any], as_json: bool
) -> None:
    """Publica listas semanales (CSV o CSV.GZ; carpeta, archivo o RUTA=PAÍS)."""
    from .. import sources

    params = parameters.load(params_file, **overrides)
    summary = sources.ingest_charts(params, list(paths), progress=say)
    answer(as_json, summary, [_ingested(summary)])


@ingest.command("history")
@click.argument("paths", nargs=-1, required=True, metavar="RUTA...")
@with_params
@json_option
def ingest_history(
    paths: tuple[str, ...], params_file: str, overrides: dict[str, Any], as_json: bool
) -> None:
    """Publica historiales de escucha de Spotify o ListenBrainz (JSON; archivo o RUTA=PAÍS)."""
    from .. import sources

    params = parameters.load(params_file, **overrides)
    summary = sources.ingest_history(params, list(paths), progress=say)
    answer(as_json, summary, [_ingested(summary)])


def _ingested(summary: dict[str, Any]) -> str:
    return (
        f"{number(summary['published'])} registros publicados, "
        f"{number(summary['skipped'])} ya estaban."
    )


@app.command()
@click.option("--only", metavar="N", help="Solo este cuaderno (3, 03 o 03_preparation).")
@click.option("--from", "start", metavar="N", help="Desde este cuaderno.")
@click.option("--resume", is_flag=True, help="Desde el que falló la última vez.")
@with_params
def notebooks(
    only: str | None,
    start: str | None,
    resume: bool,
    params_file: str,
    overrides: dict[str, Any],
) -> None:
    """Ejecuta los cuadernos con papermill y genera los informes."""
    from .run import run_notebooks

    index = run_notebooks(params_file, overrides, only=only, start=start, resume=resume)
    click.echo(f"Informes: {index}")


@app.command()
@click.option("--until-caught-up", is_flag=True, help="Termina cuando responde de todo lo que hay.")
@with_params
@json_option
def stream(
    until_caught_up: bool, params_file: str, overrides: dict[str, Any], as_json: bool
) -> None:
    """La tarea en directo: Kafka a BigQuery, MongoDB y archivo, con predicciones."""
    from ..io import answering

    params = parameters.load(params_file, **overrides)
    answering.require(params)
    # After the check: it brings Beam, which takes seconds.
    from ..io.local import processes
    from ..operations import apps
    from ..operations import stream as job

    with nullcontext() if until_caught_up else processes.registered(apps.STREAM):
        summary = job.run(params, until_caught_up=until_caught_up, say=say)
    answer(
        as_json,
        summary.to_dict(),
        [
            f"{number(summary.records)} registros leídos, "
            f"{number(summary.windows)} ventanas escritas."
        ],
    )


@app.command()
@click.option(
    "--wait",
    default=30.0,
    show_default=True,
    metavar="N",
    help="Segundos de espera a lo pendiente.",
)
@click.option(
    "--skew",
    is_flag=True,
    help="Compara, valor a valor, la tarea en directo, la repetición, los cuadernos y el servicio.",
)
@with_params
@json_option
def audit(
    wait: float, skew: bool, params_file: str, overrides: dict[str, Any], as_json: bool
) -> None:
    """Comprueba que cada registro de Kafka está contabilizado una vez (código 1 si no)."""
    from ..io import answering

    params = parameters.load(params_file, **overrides)
    if skew:
        _skew(params, wait, as_json)
        return
    answering.require(params, "kafka", "bigquery")
    from ..io.bigquery import warehouse
    from ..operations import audit as auditing

    warehouse.ensure_dataset(params)
    report = auditing.audit(params, wait=wait)
    auditing.record(params, report)
    if as_json:
        click.echo(auditing.render(report))
    else:
        click.echo(auditing.as_text(report))
    if not report.holds:
        sys.exit(1)


def _skew(params: Params, wait: float, as_json: bool) -> None:
    from ..io import answering

    answering.require(params)
    from ..operations import skew

    report = skew.skew(params, wait, say)
    answer(as_json, report.to_dict(), skew.as_lines(report))
    if not report.holds:
        sys.exit(1)


app.add_command(archive)
app.add_command(dead_letters)
app.add_command(new_log)
app.add_command(replay)


app.add_command(monitor)


@app.command()
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=ports.PAGE,
    show_default=True,
    metavar="N",
    help="Puerto en el que se abre.",
)
@with_params
def dashboard(port: int, params_file: str, overrides: dict[str, Any]) -> None:
    """La página en directo: predicciones, actividad, modelo y estado del sistema."""
    from ..io import answering
    from ..io.bigquery import warehouse
    from ..presentation.dashboard.server import serve

    params = parameters.load(params_file, **overrides)
    answering.require(params, "bigquery")
    warehouse.ensure_dataset(params)
    serve(params, port, say)


@app.command("serve")
@with_params
def serve_endpoint(params_file: str, overrides: dict[str, Any]) -> None:
    """El servidor de predicción, con el contrato de contenedores de Vertex AI."""
    from ..serving.__main__ import port, serve

    serve(parameters.load(params_file, **overrides), "127.0.0.1", port())


@app.command()
@click.argument("server", metavar="SERVIDOR", type=click.Choice(["bigquery", "vertex", "serving"]))
@click.option("--header", is_flag=True, help="La cabecera entera, para «curl -H @-».")
def token(server: str, header: bool) -> None:
    """Escribe la clave que pide un servidor local: bigquery, vertex o serving."""
    from ..io.http import guard
    from ..io.local import secret

    key = secret.key(server)
    click.echo(f"Authorization: {guard.authorization(key)}" if header else key)


@app.command()
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


@app.command()
@click.argument(
    "what",
    type=click.Choice(
        ["pipeline", "freshness", "endpoint", "sinks", "growth", "backlog", "dashboard"]
    ),
)
@click.option(
    "--events",
    metavar="N",
    type=int,
    help="Eventos del registro (pipeline, sinks, backlog) o del mayor (growth); "
    "predicciones (dashboard).",
)
@click.option(
    "--rate",
    metavar="N",
    type=float,
    help="Eventos por segundo (freshness); sin ella, cuatro casos, uno tras otro.",
)
@click.option(
    "--seconds",
    metavar="N",
    type=float,
    help="Duración de un caso (freshness, endpoint, dashboard) o de todo (sinks).",
)
@with_params
@json_option
def bench(
    what: str, params_file: str, overrides: dict[str, Any], as_json: bool, **given: float | None
) -> None:
    """Mide, siempre al lado de su referencia en la misma ejecución (véase benchmarks/).

    Con servicios propios, que empiezan vacíos; al acabar no queda nada de ellos.
    """
    import importlib
    import inspect

    from local_services.apart import BENCH, apart

    from ..config import paths

    params = parameters.load(params_file, **overrides)
    sys.path.insert(0, str(paths.root() / "benchmarks"))
    measure = importlib.import_module(what).run
    size = {name: value for name, value in given.items() if value is not None}
    unknown = size.keys() - inspect.signature(measure).parameters
    if unknown:
        raise click.UsageError(f"«bench {what}» no admite --{min(unknown)}.")
    with apart(BENCH, say):
        figures = measure(params.model_copy(update=dict.fromkeys(_ENDPOINTS, LOCAL)), say, **size)
    lines = [
        f"{f['name']:<32} {_figure(f['value']):>12} {f['unit']:<9} "
        f"referencia {_figure(f['baseline'])}  ×{_figure(f['ratio'])}"
        for f in figures
    ]
    answer(as_json, {"figures": figures}, lines)


def _figure(value: float | None) -> str:
    """Write a figure with the decimals that it was rounded to."""
    decimals = len(str(value).partition(".")[2]) if isinstance(value, float) else 0
    return number(value, decimals)


@app.command()
@with_params
def run(params_file: str, overrides: dict[str, Any]) -> None:
    """Todo: servicios, eventos, cuadernos, modelo, despliegue, directo, auditoría, informes."""
    from .run import run_all

    run_all(params_file, overrides)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit; an error is one or two lines, with its exit status."""
    modes.keep_private()
    try:
        app.main(arguments, prog_name="spotify-mlops", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(USAGE)
    except click.ClickException as error:
        _fail(f"{usage.explain(error)}\n{usage.hint(error)}", USAGE)
    except UserError as error:
        _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.secho("Interrumpido.", fg="yellow", err=True)
        sys.exit(INTERRUPTED)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        if is_outage(error):
            _fail(f"{reason}. {_HINT}", ServiceError.exit_code)
        _fail(
            f"{type(error).__name__}: {reason}\n"
            "Es un fallo inesperado: repite con «spotify-mlops --debug ...» para ver la traza.",
            UNEXPECTED,
        )


def _fail(message: str, status: int) -> None:
    click.secho(f"Error: {message}", fg="red", err=True)
    sys.exit(status)
