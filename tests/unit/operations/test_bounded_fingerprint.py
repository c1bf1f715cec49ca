"""What makes a bounded run do its work again: what decides its tables, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spotify_mlops.config import params
from spotify_mlops.config.params import Params
from spotify_mlops.operations import bounded


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """Params of a log that nobody writes to."""
    monkeypatch.setattr(bounded.kafka, "identity", lambda _: "a")
    monkeypatch.setattr(bounded.kafka, "offsets", lambda _: {0: (0, 10)})
    return params.load("local", archive=str(tmp_path))


@pytest.mark.parametrize(
    "changed",
    [
        {"window": "2h"},
        {"lags": [1]},
        {"shards": 3},
        {"topic": "other"},
        {"dataset": "other"},
        {"mongo_database": "other"},
        {"horizon": 2},
        {"model_name": "other"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_decides_the_tables_changes_it(settings: Params, changed: dict[str, Any]) -> None:
    assert bounded._fingerprint(settings.replace(**changed)) != bounded._fingerprint(settings)


@pytest.mark.parametrize(
    "changed",
    [
        {"events_per_second": 1},
        {"gate_min_accuracy": 0.9},
        {"cost_missed_alta": 9},
        {"model_seed": 8},
        {"level_alta": 71},  # of the view of labels
        {"drift_windows": 3},
        {"service_timeout": "5s"},
        {"windows_per_element": 2},
        {"kafka_password": "env:OTHER"},
        {"serving_machine": "n1-standard-1"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_does_not_decide_them_leaves_it(settings: Params, changed: dict[str, Any]) -> None:
    assert bounded._fingerprint(settings.replace(**changed)) == bounded._fingerprint(settings)


def test_more_of_the_log_and_another_log_change_it(
    settings: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bounded._fingerprint(settings)
    monkeypatch.setattr(bounded.kafka, "offsets", lambda _: {0: (0, 11)})
    longer = bounded._fingerprint(settings)
    monkeypatch.setattr(bounded.kafka, "identity", lambda _: "b")
    assert len({before, longer, bounded._fingerprint(settings)}) == 3
