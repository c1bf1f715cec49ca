"""Taking down what runs in the cloud, against a project of this machine that changes as asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

import google_project
import storage_server
from google_project import Project
from spotify_mlops.cli import main
from spotify_mlops.config.errors import ParamsError, ServiceError
from spotify_mlops.config.params import Params
from spotify_mlops.io.storage import objects
from spotify_mlops.operations.cloud import teardown as ending
from spotify_mlops.operations.cloud import watcher
from spotify_mlops.operations.engines import cluster, dataflow
from spotify_mlops.presentation.es import cloud_check as words

ENDPOINT = "/v1/projects/own/locations/us-central1/endpoints/popularity-gcp"


class Deployed:
    """What a project answers that has a job, an endpoint with two versions, tables and objects."""

    def __init__(self, project: Project, settings: Params) -> None:
        self.name = dataflow.job_name(cluster.stream_name(settings))
        self.job, self.versions, self.endpoint = "RUNNING", ["1", "2"], True
        self.tables = ["spotify_events_rows", "spotify_events"]
        self.objects = ["a", "b"]
        self.left: list[dict[str, str]] = []
        self.project, self.instances = project, 0
        self.fails = ""
        project.answers = {
            "/metrics$": (200, {"metrics": []}),
            "/workerPools/": self.pool,
            "/v1b3/": self.jobs,
            "/endpoints/popularity-gcp": self.endpoints,
            "/bigquery/v2/.*/datasets/": self.dataset,
            "/storage/v1/b/own-archive/o": self.bucket,
            "searchAllResources": lambda method, path: (200, {"results": self.left}),
        }

    def pool(self, method: str, path: str) -> tuple[int, Any]:
        if method == "PATCH":
            self.instances = self.project.sent[-1]["scaling"]["manualInstanceCount"]
            self.job = "DRAINING"  # who watched it says so when it is told to end
            return 200, {}
        return 200, {"scaling": {"manualInstanceCount": self.instances}}

    def jobs(self, method: str, path: str) -> tuple[int, Any]:
        if method == "PUT":
            self.job = "DRAINED"
        told = {"id": "1", "name": self.name, "currentState": f"JOB_STATE_{self.job}",
                "createTime": "2026-01-05T00:00:00Z"}  # fmt: skip
        if self.job == "DRAINING" and not path.endswith("/jobs"):
            self.job = "DRAINED"
        return 200, {"jobs": [told]} if path.endswith("/jobs") else told

    def endpoints(self, method: str, path: str) -> tuple[int, Any]:
        done = {"name": f"{ENDPOINT[4:]}/operations/1", "done": True, "response": {
            "@type": "type.googleapis.com/google.protobuf.Empty"}}  # fmt: skip
        if self.fails and path.endswith(self.fails):
            return 400, "not now"
        if path.endswith("/operations"):
            return 200, {"operations": []}
        if not self.endpoint:
            return 404, "no"
        if path.endswith(":undeployModel"):
            self.versions.pop(0)
            return 200, done | {"response": {"@type": "type.googleapis.com/google.cloud."
                                             "aiplatform.v1.UndeployModelResponse"}}  # fmt: skip
        if method == "DELETE":
            assert not self.versions
            self.endpoint = False
            return 200, done
        models = [{"id": f"m{v}", "modelVersionId": v} for v in self.versions]
        return 200, {"name": ENDPOINT[4:], "deployedModels": models}

    def dataset(self, method: str, path: str) -> tuple[int, Any]:
        if method == "DELETE":
            self.tables.remove(path.rpartition("/")[2])  # the dataset itself is the platform's
            return 200, {}
        return 200, {"tables": [
            {"tableReference": {"projectId": "own", "datasetId": "spotify", "tableId": name}}
            for name in self.tables]}  # fmt: skip

    def bucket(self, method: str, path: str) -> tuple[int, Any]:
        if method == "DELETE":
            self.objects.remove(path.rpartition("/")[2])
            return 200, {}
        return 200, {"items": [{"name": name, "bucket": "own-archive"} for name in self.objects]}


@pytest.fixture
def settings(project: Project) -> Params:
    return project.params(mongo_uri="local", platform_deletion_protection=False)


@pytest.fixture
def deployed(project: Project, settings: Params) -> Deployed:
    return Deployed(project, settings)


def states(report: ending.Report) -> dict[str, str]:
    return {each.step: each.state for each in report.removals}


def test_a_dry_run_changes_nothing_and_tells_all(
    project: Project, settings: Params, deployed: Deployed
) -> None:
    report = ending.teardown(settings)
    assert project.changed == []
    assert states(report) == {
        "job": "would", "endpoint": "would", "tables": "kept",
        "documents": "nothing", "archive": "kept",
    }  # fmt: skip
    shown = "\n".join(words.teardown_lines(report, dry_run=True))
    assert deployed.name in shown
    assert "popularity@1, popularity@2" in shown
    assert "con --yes, lo hace" in shown
    assert set(states(ending.teardown(settings, data=True)).values()) == {"would", "nothing"}
    assert project.changed == []


def test_what_runs_is_ended_in_order_and_data_stay(
    project: Project, settings: Params, deployed: Deployed
) -> None:
    report = ending.teardown(settings, dry_run=False)
    assert (deployed.job, deployed.versions, deployed.endpoint) == ("DRAINED", [], False)
    assert (len(deployed.tables), len(deployed.objects)) == (2, 2)
    verbs = [line.partition(" ")[0] for line in project.changed]
    assert verbs == ["PUT", "PATCH", "POST", "POST", "DELETE"]
    assert report.is_clean
    assert states(report)["tables"] == "kept"
    again = ending.teardown(settings, dry_run=False)
    assert {states(again)[step] for step in ("job", "endpoint")} == {"nothing"}


def test_who_watches_the_job_goes_before_it_and_it_is_not_drained_twice(
    project: Project, settings: Params, deployed: Deployed
) -> None:
    deployed.instances = 1
    report = ending.teardown(settings)
    assert report.removals[0].names == (watcher.pool_id(settings), deployed.name)
    ending.teardown(settings, dry_run=False)
    assert (deployed.instances, deployed.job) == (0, "DRAINED")
    assert project.changed[0].startswith("PATCH /run/v2/")
    assert not [line for line in project.changed if line.startswith("PUT")]
    assert states(ending.teardown(settings, dry_run=False))["job"] == "nothing"


def test_a_job_is_drained_whatever_engine_the_params_name(
    settings: Params, deployed: Deployed
) -> None:
    ending.teardown(settings.replace(engine_runner="prism"), dry_run=False)
    assert deployed.job == "DRAINED"


def test_data_go_only_when_asked_and_not_protected(
    project: Project, settings: Params, deployed: Deployed
) -> None:
    with pytest.raises(ParamsError, match="platform_deletion_protection es true"):
        ending.teardown(
            settings.replace(platform_deletion_protection=True), data=True, dry_run=False
        )
    assert project.changed == []
    report = ending.teardown(settings, data=True, dry_run=False)
    assert (deployed.tables, deployed.objects) == ([], [])
    assert states(report) == {
        "job": "done", "endpoint": "done", "tables": "done",
        "documents": "nothing", "archive": "done",
    }  # fmt: skip
    again = ending.teardown(settings, data=True, dry_run=False)
    assert set(states(again).values()) == {"nothing"}


@pytest.mark.parametrize("broken", [":undeployModel", "/operations"])
def test_one_that_was_interrupted_goes_on_from_there(
    broken: str, project: Project, settings: Params, deployed: Deployed
) -> None:
    deployed.fails = broken
    with pytest.raises(ServiceError):
        ending.teardown(settings, dry_run=False)
    assert deployed.job == "DRAINED"
    assert deployed.endpoint
    deployed.fails = ""
    assert states(ending.teardown(settings, dry_run=False))["endpoint"] == "done"
    assert not deployed.endpoint


def test_what_is_left_is_told_by_its_label(
    project: Project,
    settings: Params,
    deployed: Deployed,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bucket = {"name": "//storage.googleapis.com/own-archive",
              "assetType": "storage.googleapis.com/Bucket"}  # fmt: skip
    kafka = {"name": "//managedkafka.googleapis.com/clusters/log",
             "assetType": "managedkafka.googleapis.com/Cluster"}  # fmt: skip
    deployed.left = [bucket]
    assert ending.teardown(settings, dry_run=False).is_clean
    assert not ending.teardown(settings, data=True, dry_run=False).is_clean
    deployed.left = [bucket, kafka]
    values = settings.flat()
    changed = [f"--set={name}={values[name]}" for name in values if
               name in {*google_project.OWN, "mongo_uri", "platform_deletion_protection"}
               or str(values[name]).startswith(project.address)]  # fmt: skip
    with pytest.raises(SystemExit) as end:
        main.main(["cloud", "teardown", "--params", "gcp", "--yes", "--json", *changed])
    assert end.value.code == 1
    told = json.loads(capsys.readouterr().out)
    assert told["clean"] is False
    assert told["left"]["facts"]["names"] == ["managedkafka.googleapis.com/clusters/log"]


def test_without_the_inventory_what_is_left_is_not_known(
    project: Project, settings: Params, deployed: Deployed
) -> None:
    project.answers["searchAllResources"] = (403, "API not enabled")
    report = ending.teardown(settings)
    assert (report.left.state, report.left.reason) == ("unknown", "forbidden")
    assert "API not enabled" in "\n".join(words.teardown_lines(report, dry_run=True))


def test_a_project_that_dataflow_does_not_know_is_said(
    project: Project, settings: Params, deployed: Deployed
) -> None:
    project.answers = {"/workerPools/": (404, "no"), "/v1b3/": (404, "no such project")}
    with pytest.raises(ServiceError, match=r"Dataflow responde 404: .*no such project"):
        ending.teardown(settings)


def test_a_local_profile_has_nothing_to_take_down(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main.main(["cloud", "teardown", "--yes"])
    assert end.value.code == 2
    assert "spotify-mlops down" in capsys.readouterr().err


def test_what_is_under_a_uri_is_cleared_and_nothing_beside_it() -> None:
    with storage_server.running() as bucket:
        root = f"{storage_server.URL}/spotify"
        assert not objects.is_any(root)
        for name in ("spotify/raw/a", "spotify/b", "spotify-other/c"):
            bucket.blob(name).upload_from_string(b"x")
        assert objects.is_any(root)
        assert objects.clear(root) == 2
        assert not objects.is_any(root)
        assert [blob.name for blob in bucket.list_blobs()] == ["spotify-other/c"]
