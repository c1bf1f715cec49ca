"""Services beside the checkout's own: one process has them at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_services.apart import apart, end_abandoned
from spotify_mlops.config import paths
from spotify_mlops.config.errors import UserError
from spotify_mlops.io.local import state


def test_another_process_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path))
    (tmp_path / "bench").mkdir()
    with (
        state.locked("bench"),
        pytest.raises(UserError, match=f"Otro proceso usa la carpeta {tmp_path / 'bench'}"),
        apart("bench"),
    ):
        pass
    assert (tmp_path / "bench").exists()
    assert paths.state_dir() == tmp_path


def test_what_was_abandoned_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path))
    end_abandoned("bench")
    left = tmp_path / "bench" / "kafka" / "data"
    left.mkdir(parents=True)
    with state.locked("bench"):  # somebody is still at it
        end_abandoned("bench")
    assert left.exists()
    end_abandoned("bench")
    assert not (tmp_path / "bench").exists()
    assert paths.state_dir() == tmp_path
