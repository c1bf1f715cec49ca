"""Smoke test: nbval runs every cell of the six notebooks, in order, over a small log."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import nbformat
import pytest
import worlds

from spotify_mlops import sources
from spotify_mlops.config import params
from spotify_mlops.io.local import state
from spotify_mlops.operations import apps, bounded
from spotify_mlops.presentation import notebooks

SMALL = {
    **worlds.NOTEBOOKS,
    # What a model of so few events is worth is not the question here.
    "gate_min_accuracy": 0,
    "gate_min_macro_f1": 0,
    "gate_max_ece": 1,
}


@pytest.fixture
def small_log(services: dict[str, state.Record], monkeypatch: pytest.MonkeyPatch) -> params.Params:
    """Point the local profile, for whoever loads it, at a small processed log of its own."""
    worlds.in_environment(monkeypatch, SMALL)
    settings = params.load("local")
    sources.ingest_simulator(settings)
    bounded.run(settings)
    return settings


def test_every_cell_of_the_notebooks_runs(small_log: params.Params) -> None:
    paths = [notebooks.source_path(name) for name in notebooks.NOTEBOOKS]
    cells = sum(cell.cell_type == "code" for path in paths for cell in nbformat.read(path, 4).cells)
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env"]
    # Apart from the configuration of these tests: its options are not for notebooks.
    apart = ["-c", os.devnull, "--rootdir", str(paths[0].parent), "-p", "no:bqemulator"]
    timeout = ["--nbval-cell-timeout", "600", "-x", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            [*command, *apart, *timeout, *map(str, paths)],
            capture_output=True,
            text=True,
            timeout=1500,
            check=False,
        )
    finally:
        apps.stop_apps()
    assert done.returncode == 0, done.stdout[-5000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) == cells
