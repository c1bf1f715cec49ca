"""The Vertex AI stand-in, through Google's own client alone.

The high-level SDK (``aiplatform``) wherever it has the call; the service clients
(``aiplatform_v1``) where it has none, or none for an artifact in a folder.
"""

from __future__ import annotations

import json
import socket
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from types import ModuleType
from typing import Any

import psutil
import pytest
from google.api import httpbody_pb2
from google.api_core import exceptions
from google.cloud import aiplatform, aiplatform_v1, storage
from google.protobuf import field_mask_pb2, json_format, struct_pb2
from vertex_server import VertexServer, running

from spotify_mlops.config.errors import ServiceError
from spotify_mlops.io import answering, vertex
from spotify_mlops.io.http import ports

CONTAINER = Path(__file__).with_name("container.py")
IMAGE = "europe-docker.pkg.dev/p/r/serving:1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VertexServer]:
    """One stand-in for the module; tests use names of their own."""
    with running(tmp_path_factory.mktemp("vertex")) as started:
        yield started


@pytest.fixture
def sdk(server: VertexServer) -> ModuleType:
    """The ``aiplatform`` module, pointed at the stand-in."""
    return vertex.sdk(server.params)


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
    client = vertex.client(server.params, aiplatform_v1.ModelServiceClient)
    model = aiplatform_v1.Model(
        display_name="con archivos",
        artifact_uri=uri,
        container_spec={"image_uri": IMAGE, "command": ["python"], "args": [str(CONTAINER), name]},
    )
    parent = f"projects/{server.params.project}/locations/{server.params.location}"
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


class TestModels:
    """Upload, list, get, update and delete models and versions; aliases."""

    def test_an_uploaded_model_is_read_back_whole(self, sdk: ModuleType) -> None:
        name = unique()
        model = upload(
            sdk,
            name,
            display_name="Popularidad",
            description="Nivel por país",
            version_description="la primera",
            version_aliases=["champion"],
            labels={"family": "dynamics"},
            serving_container_command=["python"],
            serving_container_args=["-m", "x"],
            serving_container_environment_variables={"A": "1"},
            serving_container_ports=[8080],
            serving_container_predict_route="/predict",
            serving_container_health_route="/health",
        )
        found = sdk.Model(name)
        assert found.resource_name.endswith(f"/locations/us-central1/models/{name}")
        assert (found.display_name, found.description) == ("Popularidad", "Nivel por país")
        assert (found.version_id, found.version_description) == ("1", "la primera")
        assert sorted(found.version_aliases) == ["champion", "default"]
        assert found.labels == {"family": "dynamics"}
        assert found.container_spec == model.container_spec
        assert list(found.container_spec.args) == ["-m", "x"]
        assert found.container_spec.env[0].value == "1"
        assert found.container_spec.ports[0].container_port == 8080
        kinds = aiplatform_v1.Model.DeploymentResourcesType
        assert found.supported_deployment_resources_types == [kinds.DEDICATED_RESOURCES]
        assert found.create_time == found.version_create_time or found.create_time

    def test_versions_count_up_and_default_moves_only_when_asked(self, sdk: ModuleType) -> None:
        name = unique()
        first = upload(sdk, name)
        second = upload_version(sdk, name, is_default_version=False, labels={"v": "2"})
        assert aliases(first) == {"1": ["default"], "2": []}
        assert sdk.Model(name).version_id == "1"
        third = upload_version(sdk, name)
        assert aliases(first) == {"1": [], "2": [], "3": ["default"]}
        assert sdk.Model(name).version_id == "3"
        assert (second.version_id, third.version_id) == ("2", "3")
        second.versioning_registry.delete_version("2")
        assert upload_version(sdk, name).version_id == "4"  # a number is never used again

    def test_an_alias_belongs_to_one_version_at_a_time(self, sdk: ModuleType) -> None:
        name = unique()
        model = upload(sdk, name, version_aliases=["champion"])
        upload_version(sdk, name, is_default_version=False, version_aliases=["challenger"])
        registry = model.versioning_registry
        registry.add_version_aliases(["champion", "canary"], version="2")
        assert aliases(model) == {"1": ["default"], "2": ["canary", "challenger", "champion"]}
        registry.remove_version_aliases(["challenger"], version="champion")
        assert aliases(model) == {"1": ["default"], "2": ["canary", "champion"]}
        registry.add_version_aliases(["default"], version="2")
        assert sdk.Model(name).version_id == "2"
        assert sdk.Model(name, version="champion").version_id == "2"
        upload_version(sdk, name, is_default_version=False, version_aliases=["champion"])
        assert sdk.Model(f"{name}@champion").version_id == "3"

    def test_aliases_that_cannot_be(self, sdk: ModuleType) -> None:
        name = unique()
        registry = upload(sdk, name).versioning_registry
        with pytest.raises(exceptions.NotFound, match="«7»"):
            registry.add_version_aliases(["champion"], version="7")
        with pytest.raises(exceptions.NotFound, match="«nobody»"):
            sdk.Model(name, version="nobody")
        for wrong in ("1", "Champion", "a b", "a-"):
            with pytest.raises(exceptions.BadRequest) as refused:
                registry.add_version_aliases([wrong], version="1")
            assert fields_of(refused.value) == ["version_aliases"]
        with pytest.raises(exceptions.BadRequest, match="default"):
            registry.remove_version_aliases(["default"], version="1")
        assert aliases(sdk.Model(name)) == {"1": ["default"]}

    def test_update_changes_the_model_or_the_version_it_names(self, sdk: ModuleType) -> None:
        name = unique()
        model = upload(sdk, name, labels={"first": "1"})
        upload_version(sdk, name, is_default_version=False, labels={"second": "2"})
        registry = model.versioning_registry
        registry.update_version("2", version_description="nueva", labels={"gate": "passed"})
        assert registry.get_version_info("2").version_description == "nueva"
        assert sdk.Model(name, version="2").labels == {"gate": "passed"}
        assert sdk.Model(name, version="1").labels == {"first": "1"}
        model.update(display_name="otro", description="d", labels={"team": "a"})
        assert sdk.Model(name).display_name == "otro"
        assert sdk.Model(name).labels == {"first": "1", "team": "a"}
        assert sdk.Model(name, version="2").labels == {"gate": "passed", "team": "a"}

    def test_a_field_that_cannot_be_updated_is_named(
        self, sdk: ModuleType, server: VertexServer
    ) -> None:
        model = upload(sdk, unique())
        client = vertex.client(server.params, aiplatform_v1.ModelServiceClient)
        for mask in (["artifact_uri"], []):
            with pytest.raises(exceptions.BadRequest, match="update_mask") as refused:
                client.update_model(
                    model=aiplatform_v1.Model(name=model.resource_name, display_name="x"),
                    update_mask=field_mask_pb2.FieldMask(paths=mask),
                )
            assert status_of(refused.value) == "INVALID_ARGUMENT"

    def test_list_filters_orders_and_pages(self, sdk: ModuleType, server: VertexServer) -> None:
        mark = unique("mark")
        for index in range(5):
            upload(
                sdk,
                f"{mark}-{index}",
                display_name=f"n{4 - index}",
                labels={"mark": mark, "parity": "even" if index % 2 == 0 else "odd"},
            )

        def listed(filter: str, order: str = "display_name") -> list[str]:
            return [m.display_name for m in sdk.Model.list(filter=filter, order_by=order)]

        mine = f"labels.mark={mark}"
        assert listed(mine) == ["n0", "n1", "n2", "n3", "n4"]
        assert listed(mine, "create_time desc") == ["n0", "n1", "n2", "n3", "n4"]
        assert listed(mine, "create_time") == ["n4", "n3", "n2", "n1", "n0"]
        assert listed(f'{mine} AND labels.parity="odd"') == ["n1", "n3"]
        assert listed(f'display_name="n2" AND {mine}') == ["n2"]
        assert listed(f'displayName!="n2" AND {mine}') == ["n0", "n1", "n3", "n4"]
        assert listed(f"{mine} AND labels.parity:*") == ["n0", "n1", "n2", "n3", "n4"]
        assert listed(f"{mine} AND labels.nothing:*") == []
        assert listed(f'model="{mark}-0"') == ["n4"]
        assert listed(f"display_name='a AND b' AND {mine}") == []
        for wrong in ("size > 3", f"{mine} AND", f"{mine} OR {mine}", "labels.", f"NOT {mine}"):
            with pytest.raises(exceptions.BadRequest, match="filter"):
                listed(wrong)
        with pytest.raises(exceptions.BadRequest, match="order_by"):
            listed(mine, "colour")
        client = vertex.client(server.params, aiplatform_v1.ModelServiceClient)
        parent = f"projects/{server.params.project}/locations/{server.params.location}"
        pages = client.list_models({"parent": parent, "filter": mine, "page_size": 2}).pages
        assert [len(page.models) for page in pages] == [2, 2, 1]

    def test_versions_are_filtered_by_label(self, sdk: ModuleType) -> None:
        name = unique()
        model = upload(sdk, name, labels={"gate": "failed"})
        upload_version(sdk, name, labels={"gate": "passed"})
        found = model.versioning_registry.list_versions(filter='labels.gate="passed"')
        assert [version.version_id for version in found] == ["2"]

    def test_delete_spares_the_default_version(self, sdk: ModuleType) -> None:
        name = unique()
        model = upload(sdk, name)
        upload_version(sdk, name, is_default_version=False)
        registry = model.versioning_registry
        with pytest.raises(exceptions.BadRequest, match="por defecto") as refused:
            registry.delete_version("1")
        assert status_of(refused.value) == "FAILED_PRECONDITION"
        registry.delete_version("2")
        assert list(aliases(model)) == ["1"]
        model.delete()
        with pytest.raises(exceptions.NotFound, match=name):
            sdk.Model(name)

    def test_what_is_taken_missing_or_wrong_is_named(self, sdk: ModuleType) -> None:
        name = unique()
        upload(sdk, name)
        with pytest.raises(exceptions.Conflict, match=name) as taken:
            upload(sdk, name)
        assert status_of(taken.value) == "ALREADY_EXISTS"
        with pytest.raises(exceptions.NotFound, match="models/absent"):
            upload_version(sdk, "absent")
        with pytest.raises(exceptions.BadRequest) as refused:
            upload(sdk, "Mayúsculas")
        assert fields_of(refused.value) == ["model_id"]
        with pytest.raises(exceptions.BadRequest) as refused:
            upload(sdk, unique(), serving_container_predict_route="predict")
        assert fields_of(refused.value) == ["model.container_spec.predict_route"]

    def test_a_field_that_is_not_implemented_is_refused_by_name(self, sdk: ModuleType) -> None:
        with pytest.raises(exceptions.MethodNotImplemented, match="encryption_spec"):
            upload(sdk, unique(), encryption_spec_key_name="projects/p/locations/l/keyRings/k")
        with pytest.raises(exceptions.MethodNotImplemented, match="grpc_ports"):
            upload(sdk, unique(), serving_container_grpc_ports=[1])


class TestArtifacts:
    """Where the files are, and that they are what was registered."""

    def test_a_folder_is_registered_in_place(
        self, sdk: ModuleType, server: VertexServer, tmp_path: Path
    ) -> None:
        (tmp_path / "model.onnx").write_bytes(b"x")
        for uri in (str(tmp_path), tmp_path.as_uri()):
            assert sdk.Model(register(server, uri)).uri == uri

    def test_a_place_without_files_is_refused(self, server: VertexServer, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        for uri in (str(tmp_path / "none"), str(tmp_path / "empty"), "relative", "s3://b/c"):
            with pytest.raises(exceptions.BadRequest) as refused:
                register(server, uri)
            assert fields_of(refused.value) == ["model.artifact_uri"]


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
    client = vertex.client(server.params, aiplatform_v1.PredictionServiceClient)
    value = json_format.ParseDict(instance, struct_pb2.Value())
    return client.predict(endpoint=endpoint.resource_name, instances=[value], timeout=60)


def answers(endpoint: aiplatform.Endpoint, count: int = 40) -> set[str]:
    """Return the names of the models that answer."""
    return {endpoint.predict([{}]).predictions[0]["name"] for _ in range(count)}


@pytest.fixture
def endpoint(sdk: ModuleType) -> Iterator[aiplatform.Endpoint]:
    """An endpoint of the test's own, removed with what is deployed on it."""
    created = sdk.Endpoint.create(display_name="prueba", endpoint_id=unique("e"))
    yield created
    created.delete(force=True)


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
            "AIP_PROJECT_NUMBER": server.params.project,
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
        client = vertex.client(server.params, aiplatform_v1.PredictionServiceClient)
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
        client = vertex.client(server.params, aiplatform_v1.EndpointServiceClient)
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
        client = vertex.client(server.params, aiplatform_v1.EndpointServiceClient)
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


class TestJobs:
    """A training container's command as a process."""

    def test_a_job_runs_with_vertexs_variables(
        self, sdk: ModuleType, server: VertexServer, tmp_path: Path
    ) -> None:
        code = (
            "import json, os, pathlib\n"
            "names = [n for n in os.environ if n.startswith(('AIP_', 'CLOUD_ML_', 'MINE'))]\n"
            "out = pathlib.Path(os.environ['AIP_MODEL_DIR']) / 'told.json'\n"
            "out.write_text(json.dumps({n: os.environ[n] for n in names}))\n"
        )
        started = job(
            sdk,
            code,
            tmp_path / "out",
            env=[{"name": "MINE", "value": "$(CLOUD_ML_JOB_ID)/$$(X)/$(UNKNOWN)"}],
        )
        started.submit()
        assert finished(started) == "JOB_STATE_SUCCEEDED"
        assert started.start_time <= started.end_time
        assert json.loads((tmp_path / "out" / "model" / "told.json").read_text()) == {
            "AIP_MODEL_DIR": f"{tmp_path}/out/model/",
            "AIP_CHECKPOINT_DIR": f"{tmp_path}/out/checkpoints/",
            "AIP_TENSORBOARD_LOG_DIR": f"{tmp_path}/out/logs/",
            "CLOUD_ML_JOB_ID": started.name,
            "CLOUD_ML_PROJECT_ID": server.params.project,
            "CLOUD_ML_REGION": server.params.location,
            "MINE": f"{started.name}/$(X)/$(UNKNOWN)",
        }
        listed = sdk.CustomJob.list(filter='labels.kind=test AND state="JOB_STATE_SUCCEEDED"')
        assert started.name in [found.name for found in listed]
        started.delete()
        with pytest.raises(exceptions.NotFound, match=started.name):
            sdk.CustomJob.get(started.resource_name)

    def test_a_job_that_fails_says_how_its_log_ends(self, sdk: ModuleType) -> None:
        started = job(sdk, "import sys; print('epoch 1'); sys.exit('sin datos')")
        started.submit()
        assert finished(started) == "JOB_STATE_FAILED"
        assert "código 1" in started.error.message
        assert "epoch 1" in started.error.message and "sin datos" in started.error.message
        with pytest.raises(RuntimeError, match="sin datos"):
            started._block_until_complete()

    def test_a_job_is_cancelled(self, sdk: ModuleType, server: VertexServer) -> None:
        started = job(sdk, "import time; print('working', flush=True); time.sleep(600)")
        started.submit()
        wait_for(lambda: started.state.name == "JOB_STATE_RUNNING")
        with pytest.raises(exceptions.BadRequest, match="en marcha"):
            started.delete()
        started.cancel()
        assert finished(started) == "JOB_STATE_CANCELLED"
        assert not running_containers(server)
        with pytest.raises(exceptions.BadRequest, match="ya terminó"):
            started.cancel()

    def test_a_job_has_its_time(self, sdk: ModuleType) -> None:
        started = job(sdk, "import time; time.sleep(600)")
        started.submit(timeout=1)
        assert finished(started) == "JOB_STATE_FAILED"
        assert "No terminó en 1 s" in started.error.message

    def test_a_job_dies_with_the_server_and_says_so(self, tmp_path: Path) -> None:
        with running(tmp_path) as own:
            sdk = vertex.sdk(own.params)
            started = job(sdk, "import time; time.sleep(600)")
            started.submit()
            wait_for(lambda: started.state.name == "JOB_STATE_RUNNING")
            (process,) = running_containers(own)
            own.kill()
            process.wait(60)
            own.start()
            assert started.state.name == "JOB_STATE_FAILED"
            assert "se detuvo" in started.error.message

    def test_jobs_that_cannot_run_are_refused(self, sdk: ModuleType) -> None:
        with pytest.raises(exceptions.BadRequest, match="command") as refused:
            job(sdk, "pass", command=[]).submit()
        assert status_of(refused.value) == "FAILED_PRECONDITION"
        two = job(sdk, "pass")
        two.job_spec.worker_pool_specs[0].replica_count = 2
        with pytest.raises(exceptions.MethodNotImplemented, match="worker_pool_specs"):
            two.submit()
        gpu = job(sdk, "pass")
        gpu.job_spec.worker_pool_specs[0].machine_spec.accelerator_count = 1
        with pytest.raises(exceptions.MethodNotImplemented, match="accelerator_count"):
            gpu.submit()
        with pytest.raises(exceptions.MethodNotImplemented, match="network"):
            job(sdk, "pass").submit(network="projects/1/global/networks/n")


class TestEvaluations:
    """Imported, listed and read."""

    def test_an_imported_evaluation_is_read_back(
        self, sdk: ModuleType, server: VertexServer
    ) -> None:
        name = unique()
        upload(sdk, name)
        model = upload_version(sdk, name, is_default_version=False)
        client = vertex.client(server.params, aiplatform_v1.ModelServiceClient)
        metrics = json_format.ParseDict({"macroF1": 0.75, "n": 3}, struct_pb2.Value())
        imported = client.import_model_evaluation(
            parent=model.versioned_resource_name,
            model_evaluation=aiplatform_v1.ModelEvaluation(
                display_name="prueba",
                metrics_schema_uri="gs://schemas/classification.yaml",
                metrics=metrics,
            ),
        )
        (found,) = model.list_model_evaluations()
        assert found.metrics == {"macroF1": 0.75, "n": 3.0}
        assert found.resource_name == imported.name
        assert model.get_model_evaluation(found.name).display_name == "prueba"
        assert sdk.Model(name).list_model_evaluations() == []  # of the default version
        (listed,) = sdk.ModelEvaluation.list(model=model.versioned_resource_name)
        assert listed.metrics == found.metrics
        with pytest.raises(exceptions.BadRequest, match="filter"):
            sdk.ModelEvaluation.list(model=model.versioned_resource_name, filter="labels.a=b")
        with pytest.raises(exceptions.NotFound):
            sdk.ModelEvaluation(f"{model.resource_name}/evaluations/1")

    def test_a_required_field_is_named(self, sdk: ModuleType, server: VertexServer) -> None:
        model = upload(sdk, unique())
        client = vertex.client(server.params, aiplatform_v1.ModelServiceClient)
        with pytest.raises(exceptions.BadRequest) as refused:
            client.import_model_evaluation(
                parent=model.resource_name, model_evaluation={"metrics_schema_uri": "gs://s"}
            )
        assert fields_of(refused.value) == ["model_evaluation.metrics"]


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
            client = vertex.client(own.params, aiplatform_v1.EndpointServiceClient)
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
        client = vertex.client(server.params, aiplatform_v1.ModelServiceClient)
        with pytest.raises(exceptions.MethodNotImplemented, match=":export"):
            client.export_model(name=model.resource_name, output_config={})
        with pytest.raises(exceptions.MethodNotImplemented, match="batchPredictionJobs"):
            sdk.BatchPredictionJob.list()
        with pytest.raises(exceptions.MethodNotImplemented, match="datasets"):
            sdk.TabularDataset.list()

    def test_an_unknown_field_is_refused(self, server: VertexServer) -> None:
        """The client cannot send one; another program can."""
        parent = f"projects/{server.params.project}/locations/{server.params.location}"
        request = server.request(
            f"/v1/{parent}/models:upload", b'{"model": {"displayName": "x", "colour": "red"}}'
        )
        with pytest.raises(urllib.request.HTTPError) as refused:
            urllib.request.urlopen(request)
        body = refused.value.read().decode()
        assert refused.value.code == 400
        assert "INVALID_ARGUMENT" in body and "colour" in body
