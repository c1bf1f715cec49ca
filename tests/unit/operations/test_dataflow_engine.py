"""The streaming job's options on Dataflow, and its name there."""

from __future__ import annotations

import re
from typing import Any

import pytest
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    SetupOptions,
    StandardOptions,
    WorkerOptions,
)
from hypothesis import given
from hypothesis import strategies as st

from spotify_mlops.config import params
from spotify_mlops.config.errors import ParamsError, ServiceError
from spotify_mlops.operations.engines import cluster, dataflow, flink

IMAGE = f"europe-docker.pkg.dev/own/mlops/pipeline@sha256:{'a' * 64}"
REAL = {
    "dataflow_endpoint": "default",
    "dataflow_image": IMAGE,
    "dataflow_staging": "gs://own-bucket/dataflow/",
    "dataflow_service_account": "stream@own.iam.gserviceaccount.com",
    "dataflow_subnetwork": "regions/europe-west1/subnetworks/own",
    "project": "own",
    "location": "europe-west1",
}


def test_the_options_of_a_job() -> None:
    found = dataflow.options(params.load("flink", **REAL, dataflow_max_workers=7), "spotify")
    assert found.view_as(StandardOptions).streaming
    google = found.view_as(GoogleCloudOptions)
    assert (google.project, google.region, google.job_name) == ("own", "europe-west1", "spotify")
    assert google.staging_location == "gs://own-bucket/dataflow/spotify/staging"
    assert google.temp_location == "gs://own-bucket/dataflow/spotify/temp"
    assert google.service_account_email == REAL["dataflow_service_account"]
    assert google.enable_streaming_engine and not google.no_auth
    assert google.dataflow_endpoint == "https://dataflow.googleapis.com"
    assert google.labels == ["made-by=spotify-mlops", "profile=flink"]
    workers = found.view_as(WorkerOptions)
    assert (workers.num_workers, workers.max_num_workers) == (1, 7)
    assert workers.sdk_container_image == IMAGE
    assert workers.use_public_ips is False
    assert workers.subnetwork == REAL["dataflow_subnetwork"]
    # The image has the package: a worker that installs is slow, and of another version.
    assert found.view_as(SetupOptions).sdk_location == "container"


@pytest.mark.parametrize("change", [{}, {"archive": "gs://own", "bigquery_rest": "default"}])
def test_what_its_workers_cannot_reach_is_refused_before(change: dict[str, Any]) -> None:
    settings = params.load("flink", **REAL | change)
    left = {"archive", "kafka_bootstrap", "bigquery_rest", "bigquery_grpc", "mongo_uri"} - {*change}
    with pytest.raises(ParamsError, match="no llegan a esta máquina") as refused:
        dataflow.submit(settings, "spotify", lambda pipeline: None)
    assert all(name in str(refused.value) for name in left)
    assert not any(name in str(refused.value) for name in change)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"dataflow_image": "pipeline:latest"}, "image ha de llevar su huella"),
        ({"dataflow_staging": "local"}, "staging ha de ser gs://"),
        ({"dataflow_service_account": ""}, "service_account no puede faltar"),
        ({"dataflow_workers": 9}, "max_workers no puede ser menor que workers"),
    ],
)
def test_what_would_fail_in_the_cloud_is_refused_before(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ParamsError, match=re.escape(told)):
        params.load("flink", **REAL | change)


def test_without_a_server_the_user_is_told(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path))
    settings = params.load("flink", engine_runner="dataflow")
    for ask in (lambda: dataflow.options(settings, "x"), lambda: dataflow.status(settings, "x")):
        with pytest.raises(ServiceError, match="«dataflow» no está en marcha"):
            ask()


def test_each_engine_is_the_module_of_its_name() -> None:
    assert cluster.of(params.load("flink")) is flink
    assert cluster.of(params.load("flink", engine_runner="dataflow")) is dataflow


TOPICS = st.from_regex(r"[a-zA-Z0-9._-]{1,80}", fullmatch=True)


@given(TOPICS, TOPICS)
def test_a_name_is_what_dataflow_allows_and_one_topics_alone(one: str, other: str) -> None:
    first, second = (dataflow.job_name(f"stream-{topic}-spotify") for topic in (one, other))
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", first)
    assert one == other or first != second


def test_what_was_taken_down_has_nothing_left(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path))
    told: list[str] = []
    cluster.end_unwatched(params.load("local"), "x", told.append)
    assert told == []
