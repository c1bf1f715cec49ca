"""The Vertex AI stand-in, one for each module of tests; they use names of their own."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest
from google.cloud import aiplatform
from vertex_calls import (
    unique,
)
from vertex_server import VertexServer, running

from spotify_mlops.io import vertex


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VertexServer]:
    """One stand-in for the module; tests use names of their own."""
    with running(tmp_path_factory.mktemp("vertex")) as started:
        yield started


@pytest.fixture
def sdk(server: VertexServer) -> ModuleType:
    """The ``aiplatform`` module, pointed at the stand-in."""
    return vertex.sdk(server.params)


@pytest.fixture
def endpoint(sdk: ModuleType) -> Iterator[aiplatform.Endpoint]:
    """An endpoint of the test's own, removed with what is deployed on it."""
    created = sdk.Endpoint.create(display_name="prueba", endpoint_id=unique("e"))
    yield created
    created.delete(force=True)
