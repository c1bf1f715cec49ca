"""The command that reunites the archive's files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archives import a_day
from spotify_mlops.cli import main
from spotify_mlops.config import params
from spotify_mlops.config.params import Params


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "state"))
    return params.load("local", archive=str(tmp_path / "archive"), batch_records=7)


def test_the_command_tells_what_it_did(
    settings: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    a_day(settings)
    arguments = ["archive", "compact", "--set", f"archive={settings.cloud.archive}"]
    main.main([*arguments, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["files"], told["merged"], told["records"]) == (40, 1, 800)
    main.main(arguments)
    assert capsys.readouterr().out == "No hay nada que juntar.\n"
