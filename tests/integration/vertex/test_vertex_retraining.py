"""A retraining in a container: with the parameters of who asks for it, through a bucket."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.cloud import aiplatform_v1
from vertex_server import running

import storage_server
import tiny_model
from spotify_mlops.io import vertex
from spotify_mlops.operations.monitor import retraining


def test_a_retraining_has_the_horizon_of_its_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny_model.settings().replace(
        archive=f"{storage_server.URL}/spotify", webapi_training_allowed=True, model_iterations=10
    )
    features, labels = tiny_model.data()
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:9")  # nobody: Beam looks for it long
    with storage_server.running() as bucket, running(tmp_path) as own:
        result = retraining.retrain(settings, features, labels)
        stored = {blob.name.split("/")[1] for blob in bucket.list_blobs()}
        client = vertex.client(own.params.cloud, aiplatform_v1.JobServiceClient)
        (job,) = client.list_custom_jobs(parent=vertex.parent(own.params.cloud))
    assert result.horizon == settings.model.horizon == 2
    assert result.description["lags"] == [1, 2]
    assert job.state == aiplatform_v1.JobState.JOB_STATE_SUCCEEDED
    assert stored == {"training"}
