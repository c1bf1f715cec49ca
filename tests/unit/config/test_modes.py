"""What the project writes is its owner's alone; what it shows has the modes of the user."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from spotify_mlops.config import modes
from spotify_mlops.io.local import processes, state


@pytest.fixture(autouse=True)
def _own_umask(tmp_path, monkeypatch):
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "state"))
    before = os.umask(0o027)
    yield
    os.umask(before)


def mode(path):
    return path.stat().st_mode & 0o777


def test_an_old_state_directory_becomes_private(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(0o755)
    state.folder("logs")
    assert mode(folder) == 0o700


def test_what_a_process_writes_is_private_and_reports_are_not(tmp_path):
    modes.keep_private()
    modes.keep_private()  # a second time it is not the user's own umask that is there
    folder = tmp_path / "reports" / "local"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text("")
    assert mode(folder / "index.html") == 0o600
    modes.show(tmp_path / "reports")
    assert mode(folder) == 0o750
    assert mode(folder / "index.html") == 0o640


def test_a_process_that_is_started_writes_for_its_owner_alone(tmp_path):
    code = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text('')"
    record = processes.start("writer", [sys.executable, "-c", code, str(tmp_path / "written")])
    while processes.is_alive(record):
        subprocess.run(["true"], check=True)
    assert mode(tmp_path / "written") == 0o600


def test_the_command_line_is_private():
    code = (
        "import os; from spotify_mlops.cli.main import main; main(['--help']); print(os.umask(0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == str(0o077)
