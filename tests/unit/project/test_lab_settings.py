"""What JupyterLab is told by ``make lab``, without starting it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from traitlets.config import Config, PyFileConfigLoader

from spotify_mlops.config import paths

CODESPACE = {
    "CODESPACES": "true",
    "CODESPACE_NAME": "a.b-c",
    "GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN": "app.github.dev",
}


def loaded() -> Config:
    return PyFileConfigLoader("config.py", str(paths.root() / "infra" / "lab")).load_config()


def test_root_may_start_it_and_a_key_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.delenv("CODESPACES", raising=False)
    found = loaded()
    assert found.ServerApp == {"allow_root": True, "root_dir": str(paths.root() / "notebooks")}
    assert "IdentityProvider" not in found
    page = Path(found.LabApp.default_url).name
    assert (paths.root() / "notebooks" / page).is_file()
    assert Path(found.LabApp.app_settings_dir).is_dir()


def test_a_cell_finds_the_command_of_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    loaded()
    assert os.environ["PATH"] == f"{Path(sys.executable).parent}:/usr/bin"


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://a.b-c-8888.app.github.dev", True),
        ("https://aXb-c-8888.app.github.dev", False),
        ("https://a.b-c-8888.app.github.dev.evil.example", False),
        ("https://other-8888.app.github.dev", False),
        ("http://a.b-c-8888.app.github.dev", False),
    ],
)
def test_of_other_sites_only_its_codespaces_own_is_served(
    origin: str, allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    for name, value in CODESPACE.items():
        monkeypatch.setenv(name, value)
    pattern = loaded().ServerApp.allow_origin_pat
    assert bool(re.fullmatch(pattern, origin)) is allowed
