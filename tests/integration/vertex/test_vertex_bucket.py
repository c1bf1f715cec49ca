"""Models whose artifacts are in a bucket, in the Vertex AI stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import storage
from vertex_calls import (
    deployable,
    unique,
)
from vertex_server import running

from spotify_mlops.io import vertex
from spotify_mlops.io.http import ports


class TestBucket:
    """Artifacts under ``gs://``, with an emulator of Cloud Storage in its place."""

    @pytest.fixture
    def bucket(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
        """An empty bucket; the stand-in must start after it."""
        from gcp_storage_emulator.server import create_server

        port = ports.free()
        emulator = create_server(ports.HOST, port, in_memory=True, default_bucket="models")
        emulator.start()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://{ports.HOST}:{port}")
        try:
            yield storage.Client(project="test").bucket("models")
        finally:
            emulator.stop()

    def test_an_artifact_in_a_bucket_is_registered_and_verified(
        self, bucket: Any, tmp_path: Path
    ) -> None:
        bucket.blob("popularity/1/model.onnx").upload_from_string(b"x")
        with running(tmp_path) as own:
            sdk = vertex.sdk(own.params)
            with pytest.raises(exceptions.BadRequest, match="ningún archivo"):
                deployable(sdk, unique(), artifact_uri="gs://models/nothing")
            model = deployable(sdk, unique(), artifact_uri="gs://models/popularity/1")
            assert model.uri == "gs://models/popularity/1"
            endpoint = sdk.Endpoint.create(display_name="e")
            endpoint.deploy(model, machine_type="n1-standard-2")
            bucket.blob("popularity/1/model.onnx").upload_from_string(b"y")
            with pytest.raises(exceptions.FailedPrecondition, match=r"cambiado «model\.onnx»"):
                endpoint.deploy(model, machine_type="n1-standard-2")
            assert endpoint.predict([{}]).predictions  # what serves is left alone
