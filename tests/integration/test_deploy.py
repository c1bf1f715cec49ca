"""``cloud deploy``, from a log to its audit: what is done of it here, with the services of here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import worlds

import lenient
from spotify_mlops import sources
from spotify_mlops.config.errors import ServiceError
from spotify_mlops.config.params import Params
from spotify_mlops.io.local import processes, state
from spotify_mlops.model.promotions import PromotionHistory
from spotify_mlops.operations import apps

QUICK = {"model_iterations": 20, "model_members": 1}


@pytest.fixture
def settings(services: dict[str, state.Record], tmp_path: Path) -> Iterator[Params]:
    """A profile of which the archive alone is elsewhere."""
    yield worlds.make(**QUICK, **lenient.GATE, archive=str(tmp_path / "archive"))
    apps.stop_apps()


def deploy(settings: Params, *options: str, status: int = 0) -> tuple[dict[str, Any], str]:
    """Run the command, and return what it tells a program and a person."""
    done = worlds.command(settings, *worlds.DEPLOY, *options, timeout=300)
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout or "{}"), done.stderr


def states(told: dict[str, Any]) -> dict[str, str]:
    return {each["step"]: each["state"] for each in told["steps"]}


def test_what_is_published_is_learnt_from_served_streamed_and_audited(settings: Params) -> None:
    _, said = deploy(settings, "--yes", status=ServiceError.exit_code)
    assert f"Paso «model»: El tema {settings.kafka.topic} está vacío" in said
    sources.ingest_simulator(settings)
    planned, _ = deploy(settings)
    steps = ("model", "endpoint", "stream", "audit")
    assert {states(planned)[step] for step in steps} == {"to_do"}
    assert PromotionHistory(settings).champion() is None

    told, said = deploy(settings, "--yes")
    assert {states(told)[step] for step in steps} == {"done"}
    assert told["audit"]["holds"] and told["ok"]
    assert "[6/8] stream: se arranca la tarea" in said
    watching = state.get(apps.STREAM)
    assert watching is not None and processes.is_alive(watching)

    again, said = deploy(settings, "--yes")
    assert again["ok"]
    assert "se hace" not in said
    assert PromotionHistory(settings).versions() == ["1"]
    now = state.get(apps.STREAM)
    assert now is not None and now.pid == watching.pid
