"""Endpoints: deployed models, traffic and predictions, in the Vertex AI stand-in."""

from __future__ import annotations

import json
import socket
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from types import ModuleType

import pytest
from google.api import httpbody_pb2
from google.api_core import exceptions
from google.cloud import aiplatform, aiplatform_v1
from vertex_calls import (
    CONTAINER,
    answers,
    deployable,
    established,
    fields_of,
    predict,
    register,
    running_containers,
    status_of,
    unique,
    upload,
    upload_version,
    wait_for,
)
from vertex_server import VertexServer

from spotify_mlops.io import vertex


class TestEndpoints:
    """Create, deploy, split, predict, undeploy, delete."""

    def test_create_get_list_update_delete(self, sdk: ModuleType) -> None:
        name = unique("e")
        made = sdk.Endpoint.create(display_name=name, endpoint_id=name, labels={"a": "b"})
        assert made.name == name
        (found,) = sdk.Endpoint.list(filter=f'display_name="{name}" AND labels.a=b')
        assert found.resource_name == made.resource_name
        made.update(display_name="otro", description="d", labels={"c": "d"})
        found = sdk.Endpoint(name)
        assert (found.display_name, found.labels) == ("otro", {"c": "d"})
        with pytest.raises(exceptions.Conflict, match=name):
            sdk.Endpoint.create(display_name=name, endpoint_id=name)
        with pytest.raises(exceptions.BadRequest) as refused:
            sdk.Endpoint.create(display_name=name, endpoint_id="A_b")
        assert fields_of(refused.value) == ["endpoint_id"]
        made.delete()
        with pytest.raises(exceptions.NotFound, match=name):
            sdk.Endpoint(name).update(display_name="x")
        assert sdk.Endpoint.create(display_name="sin id").name.isdecimal()

    def test_a_deployed_model_answers_and_says_who_it_is(
        self, sdk: ModuleType, endpoint: aiplatform.Endpoint
    ) -> None:
        name = unique()
        model = deployable(
            sdk, name, serving_container_environment_variables={"GIVEN": "$(AIP_MODEL_NAME)!"}
        )
        endpoint.deploy(model, machine_type="n1-standard-2", traffic_percentage=100)
        (deployed,) = endpoint.list_models()
        assert deployed.model == model.resource_name
        assert (deployed.model_version_id, deployed.display_name) == ("1", name)
        assert endpoint.traffic_split == {deployed.id: 100}
        answer = endpoint.predict([{"x": 1}, {"x": 2}], parameters={"p": 1})
        assert answer.predictions == [{"name": name, "env": f"{name}!"}] * 2
        assert answer.metadata == {"p": 1}
        assert answer.deployed_model_id == deployed.id
        assert answer.model_resource_name == model.resource_name
        assert answer.model_version_id == "1"
        (listed,) = sdk.Model(name).gca_resource.deployed_models
        assert (listed.endpoint, listed.deployed_model_id) == (endpoint.resource_name, deployed.id)

    def test_a_model_makes_its_endpoint(self, sdk: ModuleType) -> None:
        made = deployable(sdk, unique()).deploy(machine_type="n1-standard-2")
        assert made.predict([{}]).predictions
        made.delete(force=True)

    def test_the_container_is_told_what_vertex_tells(
        self, sdk: ModuleType, server: VertexServer, endpoint: aiplatform.Endpoint, tmp_path: Path
    ) -> None:
        (tmp_path / "model.onnx").write_bytes(b"x")
        model = sdk.Model(register(server, tmp_path.as_uri(), "a"))
        endpoint.deploy(model, machine_type="n1-standard-2")
        (deployed,) = endpoint.list_models()
        log = server.folder / "vertex" / "logs" / f"deployed-{deployed.id}.log"
        told = json.loads(log.read_text().splitlines()[0])
        own = f"/v1/endpoints/{endpoint.name}/deployedModels/{deployed.id}"
        assert told | {"AIP_HTTP_PORT": ""} == {
            "AIP_MODE": "PREDICTION",
            "AIP_MODE_VERSION": "1.0.0",
            "AIP_FRAMEWORK": "CUSTOM_CONTAINER",
            "AIP_PROJECT_NUMBER": server.params.cloud.project,
            "AIP_ENDPOINT_ID": endpoint.name,
            "AIP_DEPLOYED_MODEL_ID": deployed.id,
            "AIP_MODEL_NAME": model.name,
            "AIP_VERSION_NAME": "1",
            "AIP_HTTP_PORT": "",
            "AIP_HEALTH_ROUTE": own,
            "AIP_PREDICT_ROUTE": f"{own}:predict",
            "AIP_STORAGE_URI": tmp_path.as_uri(),
            "AIP_MACHINE_TYPE": "n1-standard-2",
        }

    def test_raw_predict_passes_any_body(
        self, sdk: ModuleType, server: VertexServer, endpoint: aiplatform.Endpoint
    ) -> None:
        endpoint.deploy(deployable(sdk, unique()), machine_type="n1-standard-2")
        client = vertex.client(server.params.cloud, aiplatform_v1.PredictionServiceClient)
        body = httpbody_pb2.HttpBody(content_type="text/plain", data="Año".encode())
        answer = client.raw_predict(endpoint=endpoint.resource_name, http_body=body)
        assert json.loads(answer.data) == {"echo": "Año"}
        assert answer.content_type == "application/json"
        # As the SDK sends it to a dedicated endpoint; here JSON alone.
        bare = server.request(f"/v1/{endpoint.resource_name}:rawPredict", b'{"instances": []}')
        with urllib.request.urlopen(bare) as reply:
            assert json.loads(reply.read())["predictions"] == []
            assert reply.headers["X-Vertex-AI-Model-Version-Id"] == "1"

    def test_traffic_is_split_and_moved(
        self, sdk: ModuleType, endpoint: aiplatform.Endpoint
    ) -> None:
        old, new = unique("old"), unique("new")
        endpoint.deploy(deployable(sdk, old), machine_type="n1-standard-2")
        endpoint.deploy(deployable(sdk, new), machine_type="n1-standard-2", traffic_percentage=0)
        ids = {deployed.display_name: deployed.id for deployed in endpoint.list_models()}
        assert endpoint.traffic_split == {ids[old]: 100, ids[new]: 0}
        assert answers(endpoint) == {old}  # the new one is a shadow
        endpoint.update(traffic_split={ids[old]: 50, ids[new]: 50})
        assert answers(endpoint) == {old, new}
        endpoint.update(traffic_split={ids[old]: 0, ids[new]: 100})
        assert answers(endpoint) == {new}
        endpoint.undeploy(ids[old])
        assert [deployed.id for deployed in endpoint.list_models()] == [ids[new]]
        assert answers(endpoint) == {new}

    def test_traffic_that_does_not_add_up_is_refused(
        self, sdk: ModuleType, server: VertexServer, endpoint: aiplatform.Endpoint
    ) -> None:
        endpoint.deploy(deployable(sdk, unique()), machine_type="n1-standard-2")
        (deployed,) = endpoint.list_models()
        for split in ({deployed.id: 90}, {deployed.id: 100, "77": 0}, {deployed.id: 110}):
            with pytest.raises(exceptions.BadRequest) as refused:
                endpoint.update(traffic_split=split)
            assert fields_of(refused.value) == ["endpoint.traffic_split"]
        client = vertex.client(server.params.cloud, aiplatform_v1.EndpointServiceClient)
        with pytest.raises(exceptions.BadRequest, match="suma 30") as refused:
            client.deploy_model(
                endpoint=endpoint.resource_name,
                deployed_model={"model": deployed.model, "dedicated_resources": {}},
                traffic_split={"0": 20, deployed.id: 10},
            )
        assert fields_of(refused.value) == ["traffic_split"]
        other = deployable(sdk, unique())
        endpoint.deploy(other, machine_type="n1-standard-2", traffic_percentage=0)
        with pytest.raises(exceptions.BadRequest, match="recibe tráfico"):
            client.undeploy_model(endpoint=endpoint.resource_name, deployed_model_id=deployed.id)
        assert endpoint.traffic_split[deployed.id] == 100

    def test_what_cannot_be_deployed_says_why(
        self, sdk: ModuleType, endpoint: aiplatform.Endpoint
    ) -> None:
        named = upload(sdk, unique())
        with pytest.raises(exceptions.BadRequest, match="command") as refused:
            endpoint.deploy(named, machine_type="n1-standard-2")
        assert status_of(refused.value) == "FAILED_PRECONDITION"
        broken = upload(
            sdk,
            unique(),
            serving_container_command=["python"],
            serving_container_args=[str(CONTAINER), "x", "no wheels"],
        )
        with pytest.raises(exceptions.FailedPrecondition, match="cannot start: no wheels"):
            endpoint.deploy(broken, machine_type="n1-standard-2")
        missing = upload(sdk, unique(), serving_container_command=["/no/such/program"])
        with pytest.raises(exceptions.FailedPrecondition, match="/no/such/program"):
            endpoint.deploy(missing, machine_type="n1-standard-2")
        silent = upload(
            sdk,
            unique(),
            serving_container_command=["sleep", "60"],
            serving_container_deployment_timeout=1,
        )
        with pytest.raises(exceptions.DeadlineExceeded, match="no responde"):
            endpoint.deploy(silent, machine_type="n1-standard-2")
        with pytest.raises(exceptions.MethodNotImplemented, match="accelerator_type"):
            endpoint.deploy(
                deployable(sdk, unique()),
                machine_type="n1-standard-2",
                accelerator_type="NVIDIA_TESLA_T4",
                accelerator_count=1,
            )
        assert endpoint.list_models() == []
        with pytest.raises(exceptions.BadRequest, match="tráfico") as refused:
            endpoint.predict([{}])
        assert status_of(refused.value) == "FAILED_PRECONDITION"

    def test_a_changed_artifact_is_refused_by_name(
        self, sdk: ModuleType, server: VertexServer, endpoint: aiplatform.Endpoint, tmp_path: Path
    ) -> None:
        (tmp_path / "model.onnx").write_bytes(b"x")
        (tmp_path / "model.json").write_bytes(b"{}")
        model = sdk.Model(register(server, str(tmp_path), "a"))
        (tmp_path / "model.json").write_bytes(b"[]")
        with pytest.raises(exceptions.FailedPrecondition, match=r"cambiado «model\.json»"):
            endpoint.deploy(model, machine_type="n1-standard-2")
        (tmp_path / "model.json").unlink()
        with pytest.raises(exceptions.FailedPrecondition, match=r"falta «model\.json»"):
            endpoint.deploy(model, machine_type="n1-standard-2")
        (tmp_path / "model.json").write_bytes(b"{}")
        endpoint.deploy(model, machine_type="n1-standard-2")

    def test_what_is_deployed_is_not_deleted(
        self, sdk: ModuleType, endpoint: aiplatform.Endpoint
    ) -> None:
        name = unique()
        model = deployable(sdk, name)
        endpoint.deploy(model, machine_type="n1-standard-2")
        upload_version(sdk, name)
        for refuse in (
            model.delete,
            lambda: model.versioning_registry.delete_version("1"),
            endpoint.delete,
        ):
            with pytest.raises(exceptions.BadRequest, match="desplegado") as refused:
                refuse()
            assert status_of(refused.value) == "FAILED_PRECONDITION"
        endpoint.undeploy_all()
        model.versioning_registry.delete_version("1")

    def test_a_containers_error_keeps_its_status(
        self, sdk: ModuleType, endpoint: aiplatform.Endpoint
    ) -> None:
        endpoint.deploy(deployable(sdk, unique()), machine_type="n1-standard-2")
        for status, raised in (
            (400, exceptions.BadRequest),
            (404, exceptions.NotFound),
            (413, exceptions.GoogleAPICallError),
            (503, exceptions.ServiceUnavailable),
        ):
            with pytest.raises(raised, match="instance 0, field status"):
                endpoint.predict([{"status": status}])
        assert endpoint.predict([{}]).predictions

    def test_requests_that_are_no_prediction(
        self, server: VertexServer, sdk: ModuleType, endpoint: aiplatform.Endpoint
    ) -> None:
        endpoint.deploy(deployable(sdk, unique()), machine_type="n1-standard-2")
        path = f"/v1/{endpoint.resource_name}:predict"
        for body, said in (
            (b"{", "instances"),
            (b"{}", "instances"),
            (b'{"instances": 3}', "instances"),
            (b'{"instances": [NaN]}', "instances"),
            (b'{"instances": [], "colour": 1}', "colour"),
        ):
            with pytest.raises(urllib.request.HTTPError) as refused:
                urllib.request.urlopen(server.request(path, body))
            assert refused.value.code == 400
            assert said in refused.value.read().decode()
        with pytest.raises(exceptions.MethodNotImplemented, match=":explain"):
            endpoint.explain([{}])
        with pytest.raises(exceptions.NotFound, match="endpoints/absent"):
            sdk.Endpoint("absent").predict([{}])

    def test_a_client_that_hangs_up_disturbs_nobody(
        self, server: VertexServer, sdk: ModuleType, endpoint: aiplatform.Endpoint, tmp_path: Path
    ) -> None:
        endpoint.deploy(deployable(sdk, unique()), machine_type="n1-standard-2")
        gate = tmp_path / "gate"
        host, port = server.url.removeprefix("http://").split(":")
        path = f"/v1/{endpoint.resource_name}:predict"
        body = json.dumps({"instances": [{"wait": str(gate)}]}).encode()
        request = server.request(path)
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in request.header_items())
        whole = f"{head}\r\n".encode() + body
        for sent in (whole[: 5 - len(body)], whole):  # before the request's end, and after it
            with socket.create_connection((host, int(port))) as hasty:
                hasty.sendall(sent)
        assert endpoint.predict([{}]).predictions
        gate.touch()
        assert endpoint.predict([{}]).predictions

    def test_undeploying_answers_what_was_asked(
        self, server: VertexServer, sdk: ModuleType, endpoint: aiplatform.Endpoint, tmp_path: Path
    ) -> None:
        endpoint.deploy(deployable(sdk, unique()), machine_type="n1-standard-2")
        (deployed,) = endpoint.list_models()
        gate = tmp_path / "gate"
        client = vertex.client(server.params.cloud, aiplatform_v1.EndpointServiceClient)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(predict, server, endpoint, wait=str(gate))
            wait_for(lambda: established(server.process) > 0)
            operation = client.undeploy_model(
                endpoint=endpoint.resource_name, deployed_model_id=deployed.id
            )
            assert not operation.done()
            with pytest.raises(exceptions.BadRequest, match="tráfico"):
                endpoint.predict([{}])
            gate.touch()
            assert asked.result().deployed_model_id == deployed.id
            operation.result()
        assert not running_containers(server)

    def test_a_swap_under_load_fails_no_request(
        self, server: VertexServer, sdk: ModuleType, endpoint: aiplatform.Endpoint
    ) -> None:
        old, new = unique("old"), unique("new")
        endpoint.deploy(deployable(sdk, old), machine_type="n1-standard-2")
        (before,) = endpoint.list_models()
        swapped = Event()

        def ask() -> list[str]:
            seen = []
            while not swapped.is_set():
                seen.append(predict(server, endpoint).model_display_name)
            return seen

        with ThreadPoolExecutor(4) as pool:
            asking = [pool.submit(ask) for _ in range(4)]
            endpoint.deploy(
                deployable(sdk, new), machine_type="n1-standard-2", traffic_percentage=100
            )
            endpoint.undeploy(before.id)
            swapped.set()
            seen = {name for future in asking for name in future.result()}
        assert seen == {old, new}

    def test_a_process_that_dies_is_started_again(
        self, server: VertexServer, sdk: ModuleType, endpoint: aiplatform.Endpoint
    ) -> None:
        endpoint.deploy(deployable(sdk, unique()), machine_type="n1-standard-2")
        (container,) = running_containers(server)
        container.kill()
        assert endpoint.predict([{}]).predictions  # waits for the next one
        with pytest.raises(exceptions.ServiceUnavailable):
            endpoint.predict([{"die": True}])
        assert endpoint.predict([{}]).predictions
