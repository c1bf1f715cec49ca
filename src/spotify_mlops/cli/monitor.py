"""``monitor``: the scheduled step of the model's life."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ..config.errors import is_outage, one_line
from ..config.params import Params
from ..io.local.stopping import stopping
from ..presentation.es import number
from ..presentation.es.numbers import interval
from . import usage
from .options import answer, json_option, require, say, with_params

if TYPE_CHECKING:
    from ..operations.monitor.loop import StepReport
    from ..operations.monitor.policy import Evidence

_STAGES = {
    "steady": "estable",
    "shadow": "con un candidato a la sombra",
    "canary": "con un candidato en pruebas",
    "probation": "campeón nuevo, a prueba",
}


@click.command(cls=usage.Command)
@click.option(
    "--every",
    metavar="S",
    type=click.FloatRange(min=1),
    help="Repite el paso cada tantos segundos, hasta que se interrumpa; sin ella, uno.",
)
@click.option(
    "--observe", is_flag=True, help="Solo puntúa y vigila: ni reentrena ni cambia de modelo."
)
@click.option("--log", "only_log", is_flag=True, help="Solo muestra las decisiones tomadas.")
@with_params
@json_option
def monitor(
    every: float | None,
    observe: bool,
    only_log: bool,
    params: Params,
    as_json: bool,
) -> None:
    """Puntúa las predicciones pasadas, vigila la deriva y cuida del campeón.

    Reentrena si hace falta; el candidato va de la sombra al canario y a campeón, y se vuelve
    atrás si acierta menos. Cada decisión queda en spotify_decisions.
    """
    require(params, "bigquery", "vertex")
    if only_log:
        from ..io.bigquery import warehouse
        from ..operations.monitor import decisions
        from ..presentation.es.decisions import line

        warehouse.ensure_dataset(params)
        taken = decisions.read(params)
        content = {"decisions": [asdict(decision) for decision in taken]}
        answer(as_json, content, [line(decision) for decision in taken] or ["Ninguna decisión."])
        return
    from ..operations.monitor import loop
    from ..presentation.es import card
    from ..presentation.es.decisions import line

    def step() -> None:
        report = loop.step(
            params, card.write_persistence, lambda each: say(line(each)), act=not observe
        )
        answer(as_json, asdict(report), _lines(report))

    if every is None:
        step()
        return
    with stopping(None) as stop:
        while True:
            try:
                step()
            except Exception as error:
                if not is_outage(error):
                    raise
                say(one_line(error, 300))  # the next step finds it back, and misses nothing
            if stop.wait(every):
                return


def _lines(report: StepReport) -> list[str]:
    from ..presentation.es.decisions import line

    if report.state is None:
        return ["Todavía no hay campeón, o nada procesado: ejecuta «make run»."]
    champion, stage = report.state.champion, _STAGES[report.state.stage]
    lines = [
        f"Ventanas puntuadas: {number(report.scored_windows)}. "
        f"Campeón: versión {champion}, {stage}."
    ]
    evidence = report.evidence
    if evidence is None:
        lines.append("Aún no se conoce ninguna etiqueta posterior a su entrenamiento.")
    else:
        lines += _known(evidence, champion)
    return lines + [line(decision) for decision in report.decisions]


def _known(evidence: Evidence, champion: str) -> Iterator[str]:
    """Say how the champion does."""
    if evidence.quality is not None:
        quality = evidence.quality
        shown = f"{number(quality.accuracy, 3)} (mínimo {number(quality.floor, 3)})"
        yield f"Exactitud de las últimas {number(quality.windows)} ventanas: {shown}."
    if evidence.baseline == champion:
        yield "Sirve la persistencia: ningún modelo acierta más que ella."
    elif evidence.fallback is not None:
        found = evidence.fallback
        shown = interval(-found.difference, -found.high, -found.low)
        yield f"Frente a la persistencia, en {number(found.windows)} ventanas: {shown} de macro-F1."
