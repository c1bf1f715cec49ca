"""What the tests of the Vertex AI stand-in ask of it, through Google's own clients alone.

The high-level SDK (``aiplatform``) wherever it has the call; the service clients
(``aiplatform_v1``) where it has none, or none for an artifact in a folder.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
from google.api_core import exceptions
from google.cloud import aiplatform, aiplatform_v1
from google.protobuf import json_format, struct_pb2
from vertex_server import VertexServer

from spotify_mlops.io import vertex

CONTAINER = Path(__file__).with_name("container.py")
IMAGE = "europe-docker.pkg.dev/p/r/serving:1"


def unique(prefix: str = "m") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def upload(sdk: ModuleType, model_id: str, **given: Any) -> aiplatform.Model:
    """Register a model that is only a name: no command, no artifact."""
    given = {"display_name": model_id, "serving_container_image_uri": IMAGE} | given
    return sdk.Model.upload(model_id=model_id, **given)


def upload_version(sdk: ModuleType, model_id: str, **given: Any) -> aiplatform.Model:
    given = {"display_name": model_id, "serving_container_image_uri": IMAGE} | given
    return sdk.Model.upload(parent_model=model_id, **given)


def register(server: VertexServer, uri: str, name: str = "") -> str:
    """Register an artifact with a container that answers with its name; return the model's."""
    client = vertex.client(server.params.cloud, aiplatform_v1.ModelServiceClient)
    model = aiplatform_v1.Model(
        display_name="con archivos",
        artifact_uri=uri,
        container_spec={"image_uri": IMAGE, "command": ["python"], "args": [str(CONTAINER), name]},
    )
    parent = f"projects/{server.params.cloud.project}/locations/{server.params.cloud.location}"
    return client.upload_model(parent=parent, model=model).result().model


def running_containers(server: VertexServer) -> list[psutil.Process]:
    """Return the processes that the stand-in runs."""
    return [child for child in server.process.children() if child.status() != "zombie"]


def established(process: psutil.Process) -> int:
    """Return how many connections its children answer."""
    return sum(
        connection.status == psutil.CONN_ESTABLISHED
        for child in process.children()
        for connection in child.net_connections("tcp")
    )


def wait_for(condition: Callable[[], bool], timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def aliases(model: aiplatform.Model) -> dict[str, list[str]]:
    versions = model.versioning_registry.list_versions()
    return {version.version_id: sorted(version.version_aliases) for version in versions}


def status_of(error: exceptions.GoogleAPICallError) -> str:
    """Return the canonical status, of which the client's class shows the HTTP code only."""
    return error.response.json()["error"]["status"]


def fields_of(error: exceptions.GoogleAPICallError) -> list[str]:
    return [violation["field"] for violation in error.details[0]["fieldViolations"]]


def deployable(sdk: ModuleType, name: str, **given: Any) -> aiplatform.Model:
    """Register a model whose container answers with its name."""
    return upload(
        sdk,
        name,
        serving_container_command=["python"],
        serving_container_args=[str(CONTAINER), name],
        serving_container_predict_route="/predict",
        serving_container_health_route="/health",
        **given,
    )


def predict(server: VertexServer, endpoint: aiplatform.Endpoint, **instance: Any) -> Any:
    """Ask with a service client of the thread's own."""
    client = vertex.client(server.params.cloud, aiplatform_v1.PredictionServiceClient)
    value = json_format.ParseDict(instance, struct_pb2.Value())
    return client.predict(endpoint=endpoint.resource_name, instances=[value], timeout=60)


def answers(endpoint: aiplatform.Endpoint, count: int = 40) -> set[str]:
    """Return the names of the models that answer."""
    return {endpoint.predict([{}]).predictions[0]["name"] for _ in range(count)}


def job(
    sdk: ModuleType, code: str, output: Path | None = None, **container: Any
) -> aiplatform.CustomJob:
    """Make a job that runs a few lines of Python; not submitted yet."""
    spec = {"image_uri": IMAGE, "command": ["python", "-c"], "args": [code]} | container
    pool = {
        "container_spec": spec,
        "machine_spec": {"machine_type": "n1-standard-4"},
        "replica_count": 1,
    }
    return sdk.CustomJob(
        display_name=unique("job"),
        worker_pool_specs=[pool],
        base_output_dir=str(output) if output else None,
        labels={"kind": "test"},
    )


def finished(started: aiplatform.CustomJob) -> str:
    """Wait for a job's end, oftener than the SDK does; return its state."""
    wait_for(started.done)
    return started.state.name
