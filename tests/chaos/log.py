"""The fixed log of a campaign, and the champion that predicts in it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from spotify_mlops import sources
from spotify_mlops.config import params
from spotify_mlops.config.params import Params
from spotify_mlops.domain.windows import Windowing
from spotify_mlops.io import kafka
from spotify_mlops.model import dataset
from spotify_mlops.model.promotions import PromotionHistory
from spotify_mlops.model.training import train
from spotify_mlops.operations import bounded
from spotify_mlops.pipeline.position import Position
from spotify_mlops.presentation.es import card

_BOTH = {
    "simulator_tracks": 60,
    "lags": [1, 2, 3],
    "horizon": 2,
    "live_duration": "12h",
    "bootstrap_repetitions": 20,
    "bootstrap_block": "12h",
    "service_timeout": "10m",
    "windows_per_element": 2,  # of a backlog: a fault comes at a share of the log, not after it
}
SHORT = _BOTH | {
    "simulator_events": 30_000,
    "simulator_days": 3,
    "window": "2h",
    "batch_records": 500,
}
LONG = _BOTH | {"simulator_days": 15, "window": "6h", "batch_records": 4_000}
"""Params of the two forms."""
_PATIENCE = timedelta(seconds=20)
"""How long a disturbed job waits for a service before it fails: less than the longest outage.
The log itself is published with all the time that a busy machine needs."""


@dataclass(frozen=True)
class FixedLog:
    """A topic that nobody publishes to any more, closed by heartbeats."""

    params: Params
    bundle: Path
    """The model that every run registers."""
    manifest: dict[str, Any]
    """What the simulator published and injected."""
    ends: dict[int, int]

    @property
    def records(self) -> int:
        """How many records there are."""
        return sum(self.ends.values())

    def is_unchanged(self) -> bool:
        """Whether no record was added: a job that reads a backlog must not write heartbeats."""
        return _ends(self.params) == self.ends

    def share_before(self, position: Position | None) -> float:
        """Return the share, 0-1, of the windows that a job at ``position`` has written."""
        if position is None or position.write_from is None:
            return 0.0
        start, end = _days(self.params)
        return max(0.0, (position.write_from - start) / (end - start))

    def fresh(self, name: str, **engine: Any) -> Params:
        """Return params of the same log with empty sinks of their own, and its champion."""
        own = {
            "profile": f"{self.params.profile}-{name}",
            "dataset": f"{self.params.bigquery.dataset}_{name.replace('-', '_')}",
            "mongo_database": f"{self.params.mongo.database}_{name.replace('-', '_')}",
            "service_timeout": _PATIENCE,
            "sink_deadline": _PATIENCE,
        }
        settings = self.params.replace(**own, **engine)
        # From the middle of the log on: windows before it have no predictions.
        start, end = _days(settings)
        middle = Windowing.of(settings.windows).start(start + (end - start) / 2)
        promotions = PromotionHistory(settings)
        promotions.keep("1", self.bundle)
        promotions.promote("1", middle)
        return settings


def publish(folder: Path, **overrides: Any) -> FixedLog:
    """Publish a simulated history and train a small model on it."""
    settings = params.load("local", **(own_names("chaos") | overrides))
    manifest = sources.ingest_simulator(settings)
    bounded.run(settings, replay=True)
    bundle = folder / "bundle"
    train(settings, *dataset.read(settings), card.write).write_bundle(bundle)
    return FixedLog(settings, bundle, manifest, _ends(settings))


def own_names(prefix: str) -> dict[str, str]:
    """Return params that keep a run apart from all others."""
    unique = f"{prefix}-{uuid.uuid4().hex[:8]}"
    dataset = unique.replace("-", "_")
    return {"profile": unique, "topic": unique, "dataset": dataset, "mongo_database": dataset}


def _ends(settings: Params) -> dict[int, int]:
    return {p: high for p, (_, high) in kafka.offsets(settings).items()}


def _days(settings: Params) -> tuple[datetime, datetime]:
    start = datetime.combine(settings.simulator.start, datetime.min.time(), UTC)
    return start, start + timedelta(days=settings.simulator.days)
