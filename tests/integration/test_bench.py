"""``bench`` from nothing: one command starts what it needs, measures, and leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import leftovers
from spotify_mlops.io.local import state

SMALL = [
    *("simulator_days=3", "simulator_tracks=40", "lags=[1]", "horizon=2"),
    *("model_iterations=10", "countries=[CO]"),
]


def test_from_an_empty_state_folder(own_state: Path) -> None:
    done = bench("pipeline", "--events", "4000")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)["figures"]
    names = {figure["name"] for figure in figures}
    assert {"pipeline_bounded", "pipeline_idiomatic", "machine_core", "machine_cores"} <= names
    assert {frozenset(figure) for figure in figures} == {
        frozenset({"name", "value", "unit", "baseline", "ratio"})
    }
    assert list(leftovers.running(own_state)) == []
    assert state.read() == {}
    assert [path for path in own_state.rglob("*") if path.is_file() and path.stat().st_size] == []


def bench(figure: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command line on a small world; it writes JSON."""
    given = [word for setting in SMALL for word in ("--set", setting)]
    return subprocess.run(
        [sys.executable, "-m", "spotify_mlops", "bench", figure, "--json", *options, *given],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
