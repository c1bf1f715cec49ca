"""Real services for the integration tests: started once, in a state directory of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest
import worlds

from local_services import services as local_services
from spotify_mlops.config import params
from spotify_mlops.io.local import state


@pytest.fixture(scope="session", autouse=True)
def quickly_compiled_java() -> Iterator[None]:
    """Java compiles once what it runs, and not again to run it faster: tests are short."""
    with mock.patch.dict(os.environ, JDK_JAVA_OPTIONS="-XX:TieredStopAtLevel=1"):
        yield


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, state.Record]]:
    """The local services, up for the whole session; every process ends with it."""
    folder = tmp_path_factory.mktemp("state")
    before = os.environ.get("SPOTIFY_MLOPS_STATE")
    os.environ["SPOTIFY_MLOPS_STATE"] = str(folder)
    try:
        yield local_services.up()
    finally:
        os.environ["SPOTIFY_MLOPS_STATE"] = str(folder)
        local_services.down()
        if before is None:
            del os.environ["SPOTIFY_MLOPS_STATE"]
        else:
            os.environ["SPOTIFY_MLOPS_STATE"] = before


@pytest.fixture(scope="session")
def world(
    services: dict[str, state.Record], tmp_path_factory: pytest.TempPathFactory
) -> worlds.World:
    """A history and its live continuation, made once: tests put back what they change."""
    return worlds.build(tmp_path_factory.mktemp("world"))


@pytest.fixture
def local_params(services: dict[str, state.Record]) -> Callable[..., params.Params]:
    """Make params of the ``local`` profile with a topic, dataset and database of their own."""
    return worlds.own_params


@pytest.fixture
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give an empty state directory of this test's own; what it started ends with it."""
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "state"))
    try:
        yield tmp_path / "state"
    finally:
        local_services.down()
