"""Deployments that take as long as Vertex AI's do: waited for, given up, and found again."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from google.cloud import aiplatform_v1
from vertex_calls import CONTAINER, IMAGE, running_containers
from vertex_server import VertexServer

import tiny_model
from spotify_mlops.config.errors import ServiceError
from spotify_mlops.config.params import Params
from spotify_mlops.io import vertex
from spotify_mlops.io.vertex import operations
from spotify_mlops.model.endpoint import Endpoint
from spotify_mlops.model.promotions import ServingPeriod
from spotify_mlops.model.registry import model_id

SLOW = f"""
import os, runpy, sys, time
while not os.path.exists(sys.argv[1]):
    time.sleep(0.02)
sys.argv = [{str(CONTAINER)!r}, "slow"]
runpy.run_path({str(CONTAINER)!r}, run_name="__main__")
"""


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """The file without which a container does not begin to answer."""
    return tmp_path / "gate"


@pytest.fixture
def settings(server: VertexServer) -> Params:
    """Params of a model of its own, whose services answer within half a second or not at all."""
    return tiny_model.settings().replace(
        profile=f"slow-{uuid.uuid4().hex[:8]}", service_timeout="500ms"
    )


@pytest.fixture
def period(settings: Params, gate: Path) -> ServingPeriod:
    """A version whose container waits for the gate."""
    client = vertex.client(settings.cloud, aiplatform_v1.ModelServiceClient)
    model = aiplatform_v1.Model(
        display_name="slow",
        container_spec={
            "image_uri": IMAGE, "command": ["python", "-c", SLOW], "args": [str(gate)],
            "predict_route": "/predict", "health_route": "/health",
        },
    )  # fmt: skip
    request = aiplatform_v1.UploadModelRequest(
        parent=vertex.parent(settings.cloud), model=model, model_id=model_id(settings)
    )
    client.upload_model(request).result()
    return ServingPeriod(tiny_model.START, "1")


def test_a_deployment_is_waited_for_longer_than_an_answer(
    settings: Params, period: ServingPeriod, gate: Path
) -> None:
    told: list[str] = []

    def say(message: str) -> None:
        told.append(message)
        gate.touch()

    endpoint = Endpoint(settings)
    endpoint.serve(period, say)
    assert endpoint.traffic() == {"1": 100}
    assert told[0] == "Vertex AI: desplegar popularity@1; van 0 min 0 s"


def test_one_that_was_given_up_is_found_again_and_not_begun_twice(
    settings: Params, period: ServingPeriod, gate: Path, server: VertexServer
) -> None:
    hasty = settings.replace(deploy_timeout="1s")
    before = len(running_containers(server))
    with pytest.raises(ServiceError, match=r"desplegar popularity@1 en 1s.*Repite la orden"):
        Endpoint(hasty).serve(period)
    with pytest.raises(
        ServiceError, match=r"acabar un despliegue anterior en popularity-slow-\w+ en 1s"
    ):
        Endpoint(hasty).serve(period)
    endpoint = Endpoint(settings)
    client = vertex.client(settings.cloud, aiplatform_v1.EndpointServiceClient)
    (pending,) = operations.pending(client, endpoint.name)
    assert pending.startswith(f"{endpoint.name}/operations/")
    endpoint.serve(period, lambda _: gate.touch())
    assert endpoint.traffic() == {"1": 100}
    assert len(running_containers(server)) == before + 1
    assert operations.pending(client, endpoint.name) == []


def test_one_that_fails_says_why(settings: Params, server: VertexServer) -> None:
    client = vertex.client(settings.cloud, aiplatform_v1.ModelServiceClient)
    ends = {"image_uri": IMAGE, "command": ["python", "-c", "raise SystemExit('sin memoria')"]}
    model = aiplatform_v1.Model(display_name="ends", container_spec=ends)
    client.upload_model(
        aiplatform_v1.UploadModelRequest(
            parent=vertex.parent(settings.cloud), model=model, model_id=model_id(settings)
        )
    ).result()
    with pytest.raises(ServiceError, match=r"no pudo desplegar popularity@1: [\s\S]*sin memoria"):
        Endpoint(settings).serve(ServingPeriod(tiny_model.START, "1"))
