"""Each resource that the code uses is there, and no other: as the code itself asks for them."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from apache_beam.options.pipeline_options import GoogleCloudOptions, WorkerOptions
from confluent_kafka.admin import ClusterMetadata, NewTopic, PartitionMetadata, TopicMetadata
from google.api_core.exceptions import NotFound
from google.cloud import aiplatform_v1, bigquery
from spotify_platform import alerts, archive, program
from spotify_platform.inventory import Declared, of_kind

from spotify_mlops.config import params, paths, secrets
from spotify_mlops.config.labels import labels
from spotify_mlops.config.params import Params
from spotify_mlops.config.progress import silent
from spotify_mlops.io import vertex
from spotify_mlops.io.archive.location import archive_root
from spotify_mlops.io.bigquery import warehouse
from spotify_mlops.io.kafka import admin, topics
from spotify_mlops.model.endpoint import Endpoint
from spotify_mlops.operations.cloud import figures
from spotify_mlops.operations.engines import cluster, dataflow
from spotify_mlops.operations.monitor import retraining

ROOT = Path(paths.root())
PROGRAM = ROOT / "infra/platform"


def inputs(resources: Iterable[Declared], short: str, name: str) -> set[str]:
    return {one.inputs[name] for one in of_kind(resources, short)}


class Warehouse:
    """A project without a dataset, which remembers what is made in it."""

    def __init__(self) -> None:
        self.datasets: list[bigquery.Dataset] = []
        self.tables: dict[str, bigquery.Table] = {}

    def get_dataset(self, reference: bigquery.DatasetReference) -> None:
        raise NotFound(str(reference))

    def create_dataset(self, dataset: bigquery.Dataset, exists_ok: bool) -> None:
        self.datasets.append(dataset)

    def list_tables(self, dataset: str) -> list[Any]:
        return []

    def create_table(self, table: bigquery.Table) -> None:
        self.tables[table.table_id] = table


def test_the_tables_are_those_that_the_code_would_make(
    resources: list[Declared], profile: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Warehouse()
    monkeypatch.setattr(warehouse, "bigquery_client", lambda params: made)
    warehouse.ensure_dataset(profile)

    (dataset,) = of_kind(resources, "bigquery.Dataset")
    assert [(d.dataset_id, d.location) for d in made.datasets] == [
        (dataset.inputs["datasetId"], dataset.inputs["location"])
    ]
    declared = {one.inputs["tableId"]: one for one in of_kind(resources, "bigquery.Table")}
    assert declared.keys() == made.tables.keys()
    for name, table in made.tables.items():
        found = declared[name].inputs
        assert found["datasetId"] == dataset.inputs["datasetId"]
        assert json.loads(found.get("schema", "[]")) == [f.to_api_repr() for f in table.schema]
        assert found.get("clusterings") == table.clustering_fields
        partitioning = found.get("timePartitioning")
        assert (partitioning and (partitioning["type"], partitioning["field"])) == (
            table.time_partitioning
            and (table.time_partitioning.type_, table.time_partitioning.field)
        )
        assert found.get("view", {}).get("query") == table.view_query
        read = {other for other in made.tables if f".{other}`" in str(found)}
        assert read <= declared[name].after, "a view is made after what it reads"


def test_the_topics_are_those_that_the_code_would_make(
    resources: list[Declared], profile: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: list[NewTopic] = []
    monkeypatch.setattr(admin, "admin_client", lambda params: None)
    monkeypatch.setattr(
        admin, "create_topics", lambda params, client, topics: wanted.extend(topics)
    )
    monkeypatch.setattr(admin, "_partitions", lambda client, of: [*range(of.kafka.partitions)])
    admin.ensure_topic(profile)

    declared = {
        one.inputs["topicId"]: one.inputs for one in of_kind(resources, "managedkafka.Topic")
    }
    assert {topic.topic: (topic.num_partitions, topic.config) for topic in wanted} == {
        name: (topic["partitionCount"], topic["configs"]) for name, topic in declared.items()
    }
    assert declared[profile.kafka.topic]["configs"]["message.timestamp.type"] == "LogAppendTime"
    (cluster,) = inputs(resources, "managedkafka.Cluster", "clusterId")
    assert {topic["cluster"] for topic in declared.values()} == {cluster}
    cloud = profile.cloud
    assert profile.kafka.bootstrap.startswith(
        f"bootstrap.{cluster}.{cloud.location}.managedkafka.{cloud.project}."
    )
    assert inputs(resources, "managedkafka.Acl", "aclId") == {f"topic/{name}" for name in declared}


def test_the_streaming_job_finds_its_bucket_network_account_and_labels(
    resources: list[Declared], profile: Params
) -> None:
    options = dataflow.options(profile, dataflow.job_name(cluster.stream_name(profile)))
    cloud, workers = options.view_as(GoogleCloudOptions), options.view_as(WorkerOptions)
    (bucket,) = inputs(resources, "storage.Bucket", "name")
    for uri in (cloud.temp_location, cloud.staging_location, archive_root(profile)):
        assert f"{uri}/".startswith(f"gs://{bucket}/")
    (subnetwork,) = of_kind(resources, "compute.Subnetwork")
    assert workers.subnetwork == (
        f"regions/{subnetwork.inputs['region']}/subnetworks/{subnetwork.inputs['name']}"
    )
    assert cloud.service_account_email in emails(resources, profile)
    assert dict(label.split("=") for label in cloud.labels) == labels(profile)


def emails(resources: list[Declared], profile: Params) -> set[str]:
    return {
        f"{name}@{profile.cloud.project}.iam.gserviceaccount.com"
        for name in inputs(resources, "serviceaccount.Account", "accountId")
    }


def test_vertex_finds_its_accounts_endpoint_and_images(
    resources: list[Declared], profile: Params
) -> None:
    cloud = profile.cloud
    assert {cloud.training_service_account, cloud.serving_service_account} <= emails(
        resources, profile
    )
    (endpoint,) = of_kind(resources, "vertex.AiEndpoint")
    where = f"projects/{cloud.project}/locations/{endpoint.inputs['location']}"
    assert Endpoint(profile).name == f"{where}/endpoints/{endpoint.inputs['name']}"
    (repository,) = of_kind(resources, "artifactregistry.Repository")
    root = f"{repository.inputs['location']}-docker.pkg.dev/{cloud.project}/"
    for image in (cloud.serving_image, cloud.training_image, profile.dataflow.image):
        assert image.startswith(f"{root}{repository.inputs['repositoryId']}/")


def test_the_secrets_are_those_that_the_params_refer_to(
    resources: list[Declared], profile: Params
) -> None:
    referred = {
        secrets.resource_name(value, profile.cloud.project).rpartition("/versions/")[0]
        for value in profile.flat().values()
        if isinstance(value, str) and value.startswith("secret://")
    }
    made = inputs(resources, "secretmanager.Secret", "secretId")
    assert {f"projects/{profile.cloud.project}/secrets/{name}" for name in made} == referred


def test_nobody_has_to_make_what_is_there_to_use_it(
    profile: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No account of the platform may make topics or datasets: the code asks first."""
    wanted = [NewTopic(topic.name, topic.partitions) for topic in topics(profile)]

    class Broker:
        def list_topics(self, *_: object, timeout: float) -> ClusterMetadata:
            found = ClusterMetadata()
            found.topics = {topic.topic: TopicMetadata() for topic in wanted}
            for topic in found.topics.values():
                partition = PartitionMetadata()
                partition.leader = 1
                topic.partitions = {0: partition}
            return found

    admin.create_topics(profile, Broker(), wanted)  # type: ignore[arg-type]

    made = Warehouse()
    monkeypatch.setattr(made, "get_dataset", lambda reference: None)
    monkeypatch.setattr(warehouse, "bigquery_client", lambda params: made)
    warehouse.ensure_dataset(profile)
    assert made.datasets == []


def test_what_pulumi_runs_is_the_program_of_the_params_that_the_stack_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []
    project = yaml.safe_load((PROGRAM / "Pulumi.yaml").read_text(encoding="utf-8"))
    said = {"params": project["config"]["params"]["default"]}
    monkeypatch.setattr(program, "make", made.append)
    monkeypatch.setattr(pulumi.Config, "require", lambda config, name: said[name])
    runpy.run_path(str(PROGRAM))
    assert made == [params.load("gcp")]
    assert (PROGRAM / project["runtime"]["options"]["virtualenv"]).resolve() == ROOT / ".venv"

    said["params"] = "nowhere"
    with pytest.raises(pulumi.RunError, match="No existe el archivo de parámetros nowhere"):
        runpy.run_path(str(PROGRAM))


def test_what_the_code_starts_in_vertex_runs_as_the_accounts_of_the_platform(
    resources: list[Declared], profile: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []

    class Vertex:
        def deploy_model(self, *, deployed_model: aiplatform_v1.DeployedModel, **_: Any) -> None:
            started.append(deployed_model.service_account)

        def create_custom_job(self, *, custom_job: aiplatform_v1.CustomJob, **_: Any) -> Any:
            started.append(custom_job.job_spec.service_account)
            return aiplatform_v1.CustomJob(name="job")

        def get_custom_job(self, **_: Any) -> aiplatform_v1.CustomJob:
            return aiplatform_v1.CustomJob(state=aiplatform_v1.JobState.JOB_STATE_SUCCEEDED)

    monkeypatch.setattr(vertex, "client", lambda cloud, kind: Vertex())
    monkeypatch.setattr(Endpoint, "_finish", lambda *_: None)
    Endpoint(profile)._deploy("1", silent, first=True)
    retraining._run_job(profile, "gs://bucket/data", "gs://bucket/run")

    assert started == [
        profile.cloud.serving_service_account,
        profile.cloud.training_service_account,
    ]
    assert set(started) <= emails(resources, profile)


def test_the_apis_are_those_of_what_is_made_and_of_what_the_code_asks(
    resources: list[Declared],
) -> None:
    of_modules = {
        "billing": "billingbudgets",
        "cloudrunv2": "run",
        "organizations": "cloudresourcemanager",
        "projects": "cloudresourcemanager",
        "serviceaccount": "iam",
        "vertex": "aiplatform",
    }
    modules = {one.short.partition(".")[0] for one in resources if one.kind.startswith("gcp:")}
    wanted = {of_modules.get(module, module) for module in modules}
    # Of the code; the account that pays for the project; to enable any of them.
    wanted |= {"bigquerystorage", "dataflow", "cloudasset", "cloudbilling", "serviceusage"}
    enabled = {
        one.removesuffix(".googleapis.com")
        for one in inputs(resources, "projects.Service", "service")
    }
    assert enabled == wanted


def test_what_is_made_is_what_its_cost_counts() -> None:
    assert len(alerts.TEXTS) == figures.ALERTS
    assert archive._OLDER_VERSIONS_DAYS == figures.OLDER_VERSIONS_DAYS
