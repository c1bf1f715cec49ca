"""Services beside the checkout's own: one process has them at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from spotify_mlops import paths
from spotify_mlops.errors import UserError
from spotify_mlops.local import state
from spotify_mlops.local.apart import apart


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
