"""What a job tidies beside its work."""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path

import pytest

from archives import a_day, stored
from spotify_mlops.config import params
from spotify_mlops.config.errors import ServiceError
from spotify_mlops.config.params import Params
from spotify_mlops.io.archive import compaction
from spotify_mlops.operations import housekeeping


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "state"))
    return params.load("local", archive=str(tmp_path / "archive"), batch_records=7)


def test_a_job_keeps_house_until_it_ends(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chore that fails is tried again, and the others are done."""
    tried: list[str] = []
    twice = threading.Event()

    def forget(asked: Params, now: datetime) -> None:
        tried.append("forget")
        if tried.count("forget") == 2:
            twice.set()
        raise ServiceError("BigQuery no responde")

    monkeypatch.setattr(housekeeping, "COMPACT_SECONDS", 0.01)
    monkeypatch.setattr(housekeeping, "FORGET_SECONDS", 0.0)
    monkeypatch.setattr(housekeeping, "forget", forget)
    monkeypatch.setattr(compaction, "FRESH_FILES", 40)
    a_day(settings)
    with housekeeping.kept(settings):
        assert twice.wait(60)
    assert len(stored(settings)) == 1
    assert "housekeeping" not in {thread.name for thread in threading.enumerate()}
