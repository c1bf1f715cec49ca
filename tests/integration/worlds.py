"""A small log on real services, processed as in life: bounded, then live, with two champions."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import commands
from hostile import changed
from spotify_mlops import sources
from spotify_mlops.config import params
from spotify_mlops.config.params import Params
from spotify_mlops.io import bigquery, kafka, mongo, retry
from spotify_mlops.io.bigquery import tables, warehouse
from spotify_mlops.model.predictor import Predictor
from spotify_mlops.model.promotions import PromotionHistory
from spotify_mlops.model.training import train
from spotify_mlops.operations import apps, bounded, compare
from spotify_mlops.presentation.es import card

SMALL = {
    "simulator_events": 20_000,
    "simulator_days": 3,
    "simulator_tracks": 60,
    "lags": [1, 2, 3],
    "horizon": 6,
    "live_duration": "12h",
    "bootstrap_repetitions": 20,
    "bootstrap_block": "6h",
    "idle_timeout": "60s",
}

NOTEBOOKS: dict[str, Any] = {
    "simulator_events": 40_000,
    "simulator_days": 8,
    "simulator_tracks": 80,
    "lags": [1, 2, 3, 24],
    "horizon": 6,
    "bootstrap_repetitions": 20,
    "live_clock": 7200,
    "model_members": 1,
    "model_iterations": 40,
}
"""A log on which all six notebooks run, each as soon as it can."""

QUICK_LOOP: dict[str, Any] = {
    "simulator_tracks": 120,
    "horizon": 6,
    "bootstrap_repetitions": 50,
    "bootstrap_block": "6h",
    "monitor_windows": 12,
    "retrain_margin": 0.1,
    "retrain_cooldown": 12,
    "retrain_history": "6d",
    "shadow_windows": 8,
    "canary_windows": 8,
    "canary_share": 0.3,
    "probation_windows": 12,
    "gate_min_accuracy": 0.5,
    "gate_min_macro_f1": 0.5,
    "gate_max_ece": 0.2,
    "drift_patience": 24,
}
"""A model's life in days: what it is judged by are hours."""
DEPLOY = (
    *("cloud", "deploy", "--json"),
    *(f"--without={step}" for step in ("check", "images", "platform")),
)
"""The command, but for steps that need a project, or tools that no laptop has to have."""


def own_params(**overrides: Any) -> Params:
    """Make params of the ``local`` profile with a topic, dataset and database of their own."""
    unique = uuid.uuid4().hex[:10]
    own = {
        "topic": f"test-{unique}",
        "dataset": f"test_{unique}",
        "mongo_database": f"test_{unique}",
        "profile": f"test-{unique}",
    }
    return params.load("local", **(own | overrides))


def make(**overrides: Any) -> Params:
    """Make params of their own for a small log."""
    return own_params(**(SMALL | overrides))


def in_environment(patched: pytest.MonkeyPatch, values: Mapping[str, Any]) -> None:
    """Give any profile, for whoever loads it, these values and stores of their own."""
    unique = f"test_{uuid.uuid4().hex[:10]}"
    own = {"topic": unique, "dataset": unique, "mongo_database": unique}
    for name, value in {**values, **own}.items():
        patched.setenv(params.ENVIRONMENT_PREFIX + name.upper(), json.dumps(value))


def command(
    settings: Params, *arguments: str, timeout: float = 600
) -> subprocess.CompletedProcess[str]:
    """Run the command line with these params."""
    return commands.run([*arguments, "--params", apps.params_file(settings)], timeout=timeout)


def catch_up(settings: Params) -> dict[str, Any]:
    done = command(settings, "stream", "--until-caught-up", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def publish_to_one_partition(settings: Params) -> None:
    """Publish an event of one window, and one of the window after the next, to partition 0."""
    kafka.ensure_topic(settings)
    hours = [datetime(2026, 1, 5, hour, tzinfo=UTC) for hour in (0, 2)]
    values = [changed(event_id=f"e{t.hour}", event_time=t.isoformat()) for t in hours]
    frame = pl.DataFrame({"value": values}, schema={"value": pl.Binary})
    with kafka.Publisher(settings) as publisher:
        publisher.send(
            frame.select(pl.lit(0, pl.Int32).alias("partition"), pl.lit("t").alias("key"), "value")
        )


def closes_what_a_silent_partition_holds_open(settings: Params) -> None:
    """Publish to one partition of two, and see a running job write what it lets close."""
    publish_to_one_partition(settings)
    file = str(apps.params_file(settings))
    job = subprocess.Popen([sys.executable, "-m", "spotify_mlops", "stream", "--params", file])
    try:
        wanted = "SELECT COUNT(*) FROM {dataset}.spotify_features"
        warehouse.ensure_dataset(settings)
        rows = retry.until(lambda: bigquery.query(settings, wanted).item(), (1).__eq__, 120)
        assert (rows, job.poll()) == (1, None)
    finally:
        job.terminate()
        assert job.wait(60) == 0


def content(settings: Params, table: tables.Table, where: pl.Expr | None = None) -> pl.DataFrame:
    """Return a table as readers see it, in the order of its key, without the wall clock."""
    rows = compare.content(settings, table)
    return rows if where is None else rows.filter(where)


def next_window(settings: Params) -> datetime:
    """Return the first window after the history."""
    first = datetime.combine(settings.simulator.start, datetime.min.time(), UTC)
    return first + timedelta(days=settings.simulator.days)


@dataclass(frozen=True)
class World:
    """A history processed by a bounded run and its continuation by the streaming job."""

    settings: Params
    history: bounded.BoundedSummary
    champions: tuple[Predictor, Predictor]
    """The first from the first live window on, the second from the middle of the live part."""
    summary: dict[str, Any]
    before: dict[str, datetime]
    """Window of each document of ``tracks`` after the bounded run."""

    @property
    def change(self) -> datetime:
        """The first window of the second champion."""
        return next_window(self.settings) + self.settings.simulator.live_duration / 2

    def champion_is(self, champion: Predictor) -> pl.Expr:
        """Select the rows that a champion predicts."""
        second = pl.col("window_start") >= self.change
        live = pl.col("window_start") >= next_window(self.settings)
        return second if champion is self.champions[1] else live & ~second


def build(folder: Path) -> World:
    """Publish a history, process and learn it, and stream what comes after it."""
    settings = make(live_clock=100_000)
    sources.ingest_simulator(settings)
    history = bounded.run(settings)
    first, second = (
        _trained(settings, folder, version, family)
        for version, family in (("1", "dynamics"), ("2", "seed"))
    )
    world = World(settings, history, (first, second), {}, {})
    promotions = PromotionHistory(settings)
    promotions.promote("1", next_window(settings))
    promotions.promote("2", world.change)
    stored = mongo.database(settings)["tracks"]
    before = {document["_id"]: document["window_start"] for document in stored.find()}
    assert sources.live(settings)["state"] == "complete"
    return replace(world, summary=catch_up(settings), before=before)


def _trained(settings: Params, folder: Path, version: str, family: str) -> Predictor:
    """Train on the history and keep the model as a version."""
    features = content(settings, tables.features(settings.windows))
    labels = content(settings, tables.labels(settings))
    settings = settings.replace(family=family)
    bundle = train(settings, features, labels, card.write).write_bundle(folder / family)
    promotions = PromotionHistory(settings)
    promotions.keep(version, bundle.path)
    return Predictor.load(promotions.bundle(version))
