"""``train``, ``evaluate``, ``release`` and ``seal``: a model's way into service, step by step."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ..config.params import Params
from ..presentation.es import moment, number
from . import usage
from .options import answer, json_option, require, say, with_params

if TYPE_CHECKING:
    from ..model.gate import Verdict
    from ..model.training_result import TrainingResult


@click.command(cls=usage.Command)
@with_params
@json_option
def train(params: Params, as_json: bool) -> None:
    """Entrena con las tablas de BigQuery y guarda el entrenamiento; no cambia quién sirve."""
    require(params, "bigquery")
    from ..model.runs import runs_folder

    result = learn(params)
    folder = result.save(runs_folder(params))
    scored = result.test_scores()
    content = {
        "run_id": result.run_id,
        "folder": str(folder),
        "family": result.family,
        "boundaries": result.boundaries,
        "metrics": scored,
    }
    shown = f"macro-F1 {number(scored['macro_f1'], 3)}, exactitud {number(scored['accuracy'], 3)}"
    answer(as_json, content, [f"Entrenamiento {result.run_id}: {shown} en la prueba. En {folder}"])


def learn(params: Params) -> TrainingResult:
    """Train with what the tables have, telling of each step."""
    from ..model import dataset, training
    from ..presentation.es import card
    from ..presentation.es.names import TRAINING_STEP_NAMES

    return training.train(
        params, *dataset.read(params), card.write, lambda code: say(TRAINING_STEP_NAMES[code])
    )


@click.command(cls=usage.Command)
@click.option("--run", "run_id", metavar="ID", help="De qué entrenamiento; sin ella, el último.")
@with_params
@json_option
def evaluate(run_id: str | None, params: Params, as_json: bool) -> None:
    """Juzga un entrenamiento con los criterios de la puerta (código 1 si no los cumple)."""
    require(params, "bigquery")
    from ..io.bigquery import warehouse
    from ..model import dataset, runs
    from ..model.evaluate import evaluate as judge
    from ..model.evaluate import record
    from ..model.training_result import TrainingResult
    from ..presentation.es import gate

    warehouse.ensure_dataset(params)
    folder = runs.runs_folder(params)
    result = TrainingResult.load(folder, run_id)
    verdict = judge(params, result, dataset.read_features(params))
    runs.save_verdict(verdict, folder / result.run_id)
    record(params, result, verdict)
    lines = [f"{gate.passes(check)}  {gate.reason(check)}" for check in verdict.checks]
    verb = "cumple" if verdict.approved else "no cumple"
    lines.append(f"El entrenamiento {result.run_id} {verb} los criterios.")
    answer(as_json, {"run_id": result.run_id} | _content(verdict), lines)
    if not verdict.approved:
        sys.exit(1)


@click.command(cls=usage.Command)
@click.option("--rollback", is_flag=True, help="Vuelve al campeón anterior.")
@with_params
@json_option
def release(rollback: bool, params: Params, as_json: bool) -> None:
    """Registra el último entrenamiento evaluado y, si cumple, lo hace campeón (código 1 si no)."""
    require(params, "kafka", "bigquery", "vertex")
    from ..operations import release as releasing

    released, verdict = (
        (releasing.rollback(params, say), None) if rollback else releasing.release(params, say)
    )
    refused = verdict is not None and not verdict.approved
    name = f"{params.model.name}@{released.version}"
    line = (
        f"{name} es el campeón desde la ventana del {moment(released.since)} UTC."
        if released.since is not None
        else f"{'El modelo no cumple los criterios; sigue' if refused else 'Ya servía'} {name}."
    )
    content = asdict(released) | ({} if verdict is None else _content(verdict))
    answer(as_json, content, [line])
    if refused:
        sys.exit(1)


def _content(verdict: Verdict) -> dict[str, Any]:
    return {"approved": verdict.approved} | asdict(verdict)


@click.command(cls=usage.Command)
@with_params
@json_option
def seal(params: Params, as_json: bool) -> None:
    """Da por buenos los modelos del archivo y los sella con el secreto de esta carpeta.

    Para los de una versión anterior o los que vienen de otra carpeta de estado, si son de fiar.
    """
    from ..model.promotions import PromotionHistory

    promotions = PromotionHistory(params)
    adopted = promotions.adopt()
    champion = promotions.champion()
    lines = [
        f"{promotions.model_name}@{version}  {digest}{'  campeón' if version == champion else ''}"
        for version, digest in adopted.items()
    ]
    content = {"uri": promotions.uri, "versions": adopted, "champion": champion}
    answer(as_json, content, lines or [f"No hay ningún modelo en {promotions.uri}."])
