"""What a running job says of itself, as another process reads it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spotify_mlops.config import params
from spotify_mlops.operations import lag
from spotify_mlops.pipeline.job import Unreadable
from spotify_mlops.pipeline.position import start_of_log


def test_a_report_names_the_partitions_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path))
    settings = params.load("local")
    unreadable = (Unreadable(1, 3500, "CRC32C mismatch"),)
    lag.write_report(settings, start_of_log({0: 3}), unreadable=unreadable)
    found = lag._running(settings)
    assert found is not None
    assert (found.pid, found.unreadable) == (os.getpid(), unreadable)
