"""``bench backlog`` on a small backlog: what it measures, beside services that run already."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from spotify_mlops.config import paths
from spotify_mlops.io.local import processes, state

SMALL = [
    *("simulator_days=3", "simulator_tracks=50", "lags=[1]", "horizon=2"),
    *("model_iterations=10", "model_members=1"),
]


def test_a_backlog_is_worked_off(services: dict[str, state.Record]) -> None:
    before = state.read()
    options = [word for setting in SMALL for word in ("--set", setting)]
    command = [sys.executable, "-m", "spotify_mlops", "bench", "backlog", "--events", "5000"]
    done = subprocess.run(
        [*command, "--json", *options],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=os.environ.copy(),
    )
    assert done.returncode == 0, done.stderr
    figures = {figure["name"]: figure for figure in json.loads(done.stdout)["figures"]}
    assert figures["backlog_rate"]["value"] > 0
    memory = figures["backlog_memory_peak"]
    assert memory["unit"] == "MB"
    assert 100 < figures["backlog_memory_python"]["value"] <= memory["value"] < 2048
    assert figures["backlog_memory_prism"]["value"] > 5
    assert state.read() == before
    assert all(processes.is_alive(before[name]) for name in services)
    assert not (paths.state_dir() / "bench").exists()
