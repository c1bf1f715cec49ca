"""The Vertex AI stand-in as a server: what it refuses, and what outlives it."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from types import ModuleType

import pytest
from google.api_core import exceptions
from google.cloud import aiplatform_v1
from vertex_calls import (
    deployable,
    running_containers,
    unique,
    upload,
    wait_for,
)
from vertex_server import VertexServer, running

from spotify_mlops.config.errors import ServiceError
from spotify_mlops.io import answering, vertex


class TestServer:
    """Restarts, and what is not implemented."""

    def test_what_was_answered_survives_kill_9(self, tmp_path: Path) -> None:
        with running(tmp_path) as own:
            sdk = vertex.sdk(own.params)
            model = upload(sdk, unique(), version_aliases=["champion"], labels={"a": "b"})
            own.kill()
            with pytest.raises(ServiceError, match="Vertex AI no responde"):
                answering.require(own.params, "vertex")
            own.start()
            answering.require(own.params, "vertex")
            found = sdk.Model(model.resource_name, version="champion")
            assert (found.labels, found.version_id) == ({"a": "b"}, "1")
            assert found.create_time == model.create_time

    def test_deployed_models_end_and_come_back_with_the_server(self, tmp_path: Path) -> None:
        with running(tmp_path) as own:
            sdk = vertex.sdk(own.params)
            endpoint = sdk.Endpoint.create(display_name="e")
            endpoint.deploy(deployable(sdk, unique()), machine_type="n1-standard-2")
            (container,) = running_containers(own)
            own.kill()
            container.wait(60)  # it dies with the server
            own.start()
            assert endpoint.predict([{}]).predictions
            (container,) = running_containers(own)
            own.stop()
            assert not container.is_running()

    def test_a_deployment_cut_short_is_told_as_aborted(self, tmp_path: Path) -> None:
        with running(tmp_path) as own:
            sdk = vertex.sdk(own.params)
            endpoint = sdk.Endpoint.create(display_name="e")
            never = upload(sdk, unique(), serving_container_command=["sleep", "600"])
            client = vertex.client(own.params.cloud, aiplatform_v1.EndpointServiceClient)
            operation = client.deploy_model(
                endpoint=endpoint.resource_name,
                deployed_model={"model": never.resource_name, "dedicated_resources": {}},
            )
            wait_for(lambda: bool(running_containers(own)))
            assert not operation.done()
            own.kill()
            own.start()
            with pytest.raises(exceptions.Aborted, match="se detuvo"):
                operation.result()
            assert sdk.Endpoint(endpoint.name).list_models() == []
            assert not running_containers(own)

    def test_what_is_not_implemented_says_its_name(
        self, sdk: ModuleType, server: VertexServer
    ) -> None:
        model = upload(sdk, unique())
        client = vertex.client(server.params.cloud, aiplatform_v1.ModelServiceClient)
        with pytest.raises(exceptions.MethodNotImplemented, match=":export"):
            client.export_model(name=model.resource_name, output_config={})
        with pytest.raises(exceptions.MethodNotImplemented, match="batchPredictionJobs"):
            sdk.BatchPredictionJob.list()
        with pytest.raises(exceptions.MethodNotImplemented, match="datasets"):
            sdk.TabularDataset.list()

    def test_an_unknown_field_is_refused(self, server: VertexServer) -> None:
        """The client cannot send one; another program can."""
        parent = f"projects/{server.params.cloud.project}/locations/{server.params.cloud.location}"
        request = server.request(
            f"/v1/{parent}/models:upload", b'{"model": {"displayName": "x", "colour": "red"}}'
        )
        with pytest.raises(urllib.request.HTTPError) as refused:
            urllib.request.urlopen(request)
        error = json.loads(refused.value.read())["error"]
        assert (refused.value.code, error["status"]) == (400, "INVALID_ARGUMENT")
        assert "colour" in error["message"]
