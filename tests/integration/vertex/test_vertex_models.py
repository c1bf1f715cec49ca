"""Models, their versions and artifacts, in the Vertex AI stand-in."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest
from google.api_core import exceptions
from google.cloud import aiplatform_v1
from google.protobuf import field_mask_pb2
from vertex_calls import (
    aliases,
    fields_of,
    register,
    status_of,
    unique,
    upload,
    upload_version,
)
from vertex_server import VertexServer

from spotify_mlops.io import vertex


class TestModels:
    """Upload, list, get, update and delete models and versions; aliases."""

    def test_an_uploaded_model_is_read_back_whole(self, sdk: ModuleType) -> None:
        name, began = unique(), datetime.now(UTC)
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
        assert began <= found.create_time <= found.version_create_time <= datetime.now(UTC)

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
        client = vertex.client(server.params.cloud, aiplatform_v1.ModelServiceClient)
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
        client = vertex.client(server.params.cloud, aiplatform_v1.ModelServiceClient)
        parent = f"projects/{server.params.cloud.project}/locations/{server.params.cloud.location}"
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
