"""``make chaos``: the long form of the campaign, with a report."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import click

from chaos import campaign, checkout, deployment, faults, injected, log, report
from local_services import services
from spotify_mlops.config import paths
from spotify_mlops.config.progress import Progress


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seed", default=7, show_default=True, metavar="N", help="Decide qué, cuándo.")
@click.option(
    "--engine",
    type=click.Choice(["prism", "flink"]),
    default="prism",
    show_default=True,
    help="Qué ejecuta la tarea.",
)
@click.option("--events", default=520_000, show_default=True, metavar="N", help="Eventos.")
@click.option("--runs", default=2, show_default=True, metavar="N", help="Ejecuciones perturbadas.")
@click.option("--kills", default=64, show_default=True, metavar="N", help="Muertes en total.")
@click.option(
    "--notebooks", default=6, show_default=True, metavar="N", help="Muertes del cuaderno 06."
)
@click.option(
    "--outage", default=60.0, show_default=True, metavar="S", help="El corte más largo, segundos."
)
@click.option(
    "--report",
    "folder",
    default="reports/chaos",
    show_default=True,
    metavar="CARPETA",
    help="Dónde queda el informe.",
)
def main(
    seed: int,
    engine: str,
    events: int,
    runs: int,
    kills: int,
    notebooks: int,
    outage: float,
    folder: str,
) -> None:
    """Mata y estropea la tarea de streaming, y comprueba que el resultado es el mismo."""
    began = time.monotonic()

    def say(message: str) -> None:
        click.secho(f"{time.monotonic() - began:7.1f} s  {message}", fg="cyan", err=True)

    random = Random(seed)
    target = paths.root() / folder
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        work = Path(temporary)
        checkout.own(work)
        try:
            services.up(progress=say, task_managers=2 if engine == "flink" else 0)
            say(f"Publicando {events} eventos y entrenando el campeón")
            fixed = log.publish(work, simulator_events=events, simulator_seed=seed, **log.LONG)
            outcomes: list[campaign.Outcome] = []
            for outcome in _outcomes(
                fixed, work, random, engine, runs, kills, notebooks, outage, say
            ):
                say(f"{outcome.name}: {'igual' if outcome.equal else outcome.differences}")
                outcomes.append(outcome)
                # After each: a campaign that is cut off has a report too.
                found = report.content(seed, fixed.manifest, fixed.records, outcomes)
                path = report.write(found, target)
        finally:
            services.down()
    click.echo(report.text(found))
    click.echo(f"Informe: {path}")
    sys.exit(0 if found["equal"] else 1)


def _outcomes(
    fixed: log.FixedLog,
    work: Path,
    random: Random,
    engine: str,
    runs: int,
    kills: int,
    notebooks: int,
    outage: float,
    say: Progress,
) -> Iterator[campaign.Outcome]:
    runner = campaign.Campaign(fixed, work / "runs", say)
    say("Ejecución sin perturbar")
    yield runner.undisturbed()
    if engine == "flink":  # compared with what Prism leaves
        runner = runner.on(campaign.FLINK)
    for number in range(runs):
        plan = faults.plan(random, engine, -(-kills // runs), outage, tuple(injected.WRITERS))
        say(f"run-{number + 1}: {len(plan)} fallos")
        yield runner.disturbed(f"run-{number + 1}", plan)
    if notebooks:
        say("El cuaderno que despliega")
        deploying = deployment.Deployments(work, say)
        yield deploying.undisturbed()
        moments = [
            deployment.Kill(number % 3 == 0, round(random.uniform(0, 40), 1))
            for number in range(notebooks)
        ]
        yield deploying.disturbed("deployment-killed", moments)


if __name__ == "__main__":
    main()
