"""A Web API on loopback and a log in memory, for the tests of sources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from memory_log import Log
from webapi_server import ENVIRONMENT, WebApi, serving


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[WebApi]:
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path))
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with serving() as found:
        yield found


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    found = Log()
    found.patch(monkeypatch)
    return found
