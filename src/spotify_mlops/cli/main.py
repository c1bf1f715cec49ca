"""The command line. Imports are inside the commands: ``--help`` and errors come at once."""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any

import click

from ..config import modes
from ..config.errors import ServiceError, UserError, is_outage, one_line
from ..io import logs
from . import jobs, servers, services, usage
from .archive import archive
from .bench import bench
from .cloud import cloud
from .dead_letters import dead_letters
from .ingest import ingest
from .models import evaluate, release, seal, train
from .monitor import monitor
from .new_log import new_log
from .replay import replay
from .report import report
from .run import notebooks, run

USAGE = 2
UNEXPECTED = 70
"""A defect of the program, not something that its user can mend (EX_SOFTWARE)."""
INTERRUPTED = 130
_OWN = ("spotify_mlops", "local_services")
"""The packages whose log is for the user."""
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
        log.addFilter(lambda record: record.name.partition(".")[0] in _OWN)
    logging.basicConfig(level=logging.INFO if debug else logging.ERROR, handlers=[log])


for _command in (
    services.up,
    services.down,
    services.status,
    ingest,
    notebooks,
    report,
    jobs.stream,
    jobs.audit,
    archive,
    dead_letters,
    new_log,
    replay,
    train,
    evaluate,
    release,
    monitor,
    cloud,
    servers.dashboard,
    servers.serve_endpoint,
    services.token,
    seal,
    bench,
    run,
):
    app.add_command(_command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit; an error is one or two lines, with its exit status."""
    modes.keep_private()
    usage.speak_spanish()
    try:
        app.main(arguments, prog_name="spotify-mlops", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(USAGE)
    except click.ClickException as error:
        _fail(usage.explain(error), USAGE)
    except UserError as error:
        _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.secho("Interrumpido.", fg="yellow", err=True)
        sys.exit(INTERRUPTED)
    except Exception as error:
        reason = one_line(error, 300)
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
