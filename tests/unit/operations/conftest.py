"""A project of Google Cloud, for what the ``cloud`` commands do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import google_project
from google_project import Project


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Project]:
    """Serve one, beside an empty state directory."""
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "state"))
    with google_project.running() as found:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", found.address)
        yield found


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No Google identity, however one looks for it."""
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
