"""The cache's workspaces: none outlives its owner for long."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from local_services import cache

OWNER = """
from local_services import cache
with cache.workspace() as path:
    (path / "half").write_text("made")
    print(path, flush=True)
    input()
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def start() -> tuple[subprocess.Popen[str], Path]:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    return owner, Path(owner.stdout.readline().strip())


def test_what_a_killed_process_was_making_is_removed_and_a_living_ones_is_not(home: Path) -> None:
    killed, abandoned = start()
    living, kept = start()
    try:
        killed.kill()
        killed.wait()
        assert abandoned.is_dir()
        with cache.workspace() as own:
            assert not abandoned.exists()
            assert (kept / "half").read_text() == "made"
            with cache.workspace() as another:
                assert own.is_dir() and another.is_dir() and own != another
        assert not own.exists()
    finally:
        living.communicate("\n")
    assert living.returncode == 0
    assert not kept.exists()
