"""A model's way into service by command: train, evaluate, release, roll back."""

from __future__ import annotations

import json
from typing import Any

import worlds

import lenient
from spotify_mlops import sources
from spotify_mlops.config.params import Params
from spotify_mlops.io import bigquery
from spotify_mlops.io.local import state
from spotify_mlops.model import runs
from spotify_mlops.model.promotions import PromotionHistory
from spotify_mlops.model.registry import Registry
from spotify_mlops.operations import bounded
from spotify_mlops.pipeline.sinks import positions

QUICK = {"model_iterations": 20, "model_members": 1}


def test_from_training_to_service_and_back(services: dict[str, state.Record]) -> None:
    settings = worlds.make(**QUICK | lenient.GATE)
    sources.ingest_simulator(settings)
    bounded.run(settings)
    assert "No hay ningún modelo en servicio" in failed(settings, "release", "--rollback", status=1)
    assert "Ningún modelo entrenado se ha evaluado" in failed(settings, "release", status=3)

    trained = told(settings, "train")
    assert 0 < trained["metrics"]["macro_f1"] <= 1
    strict = settings.replace(gate_min_accuracy=1.0)
    refused = told(strict, "evaluate", status=1)
    assert refused["run_id"] == trained["run_id"]
    assert {c["code"] for c in refused["checks"] if not c["passed"]} >= {"accuracy"}
    assert "no se despliega nada" in failed(settings, "release", status=1)

    verdict = told(settings, "evaluate", "--run", trained["run_id"])
    assert all(check["passed"] for check in verdict["checks"]) == verdict["approved"]
    assert verdict["approved"]
    written = bigquery.query(
        settings,
        "SELECT value FROM {dataset}.spotify_model_metrics "
        "WHERE run_id = @run AND split = 'gate' AND metric = 'approved'",
        run=trained["run_id"],
    )
    assert written["value"].to_list() == [1.0]  # the last verdict counts
    first = told(settings, "release")
    assert first["version"] == "1"
    assert first["approved"]
    assert told(settings, "release")["since"] is None  # it serves already
    promotions = PromotionHistory(settings)
    assert promotions.champion() == "1"

    # Of the rows that it could be compared on, the champion has learned: it stays.
    told(settings.replace(model_seed=8), "train")
    told(settings, "evaluate", status=1)
    stays = told(settings, "release", status=1)
    assert (stays["version"], stays["since"], stays["approved"]) == ("1", None, False)

    registry = Registry(settings)
    latest = runs.runs_folder(settings) / runs.last_evaluated(runs.runs_folder(settings))
    registry.promote(registry.register(latest / "bundle"), worlds.next_window(settings))
    assert promotions.champion() == "2"
    back = told(settings, "release", "--rollback")
    assert back["version"] == promotions.champion() == registry.champion() == "1"
    since = promotions.periods()[-1].effective_from
    closed = positions.load(settings)
    assert closed is not None and closed.write_from is not None
    # Ahead of what a job that runs has closed meanwhile.
    assert since == closed.write_from + settings.windows.window * settings.promotion.lead
    assert back["since"].startswith(f"{since:%Y-%m-%d %H:%M}")


def told(settings: Params, *arguments: str, status: int = 0) -> dict[str, Any]:
    done = worlds.command(settings, *arguments, "--json")
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


def failed(settings: Params, *arguments: str, status: int) -> str:
    done = worlds.command(settings, *arguments)
    assert done.returncode == status, done.stderr
    return done.stderr
