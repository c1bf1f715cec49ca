"""Checks of a profile, against servers of this machine that answer as Google's APIs do."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import google_project
from google_project import DIGEST, Project
from spotify_mlops.cli import main
from spotify_mlops.config import carried, params
from spotify_mlops.config.params import Params
from spotify_mlops.io.google_apis import Apis
from spotify_mlops.operations.cloud import check
from spotify_mlops.operations.cloud.check import built, capacity, identity, places, running
from spotify_mlops.operations.cloud.check.finding import Context, Finding
from spotify_mlops.operations.engines import cluster, dataflow
from spotify_mlops.presentation.es import cloud_check as words

PASSWORD = "correct-horse"


def look(name: str, settings: Params) -> Finding | None:
    return running.guarded(name, check.CHECKS[name], Context(settings, Apis(settings)))


def looked(name: str, settings: Params) -> tuple[str, str]:
    found = look(name, settings)
    assert found is not None
    assert words.found(found)
    assert found.state != "bad" or words.to_do(found) or found.reason == "said"
    return found.state, found.reason


WELL = {
    "demo": "own",
    "credentials": "not_needed",
    "project": "state",
    "apis": "all",
    "permissions": "all",
    "bucket_permissions": "all",
    "dataflow_service_account": "account",
    "serving_service_account": "account",
    "training_service_account": "account",
    "quotas": "enough",
    "subnetwork": "there",
    "budget": "estimate",
    "bigquery": "answers",
    "bucket": "there",
    "vertex": "answers",
    "secrets": "all",
    "dataflow": "no_job",
    "dataflow_image": "there",
    "serving_image": "there",
    "training_image": "there",
    "versions": "same",
}


@pytest.mark.parametrize("name", WELL)
def test_what_is_well(name: str, project: Project) -> None:
    assert looked(name, project.params()) == ("good", WELL[name])


def test_every_check_has_its_words(project: Project) -> None:
    assert set(check.CHECKS) == {*WELL, "kafka", "mongo"} <= set(words.CHECKS)


BAD: list[tuple[str, dict[str, Any], str, str]] = [
    ("project", {"answers": {"v3/projects/own$": (403, "may not exist")}}, "bad", "missing"),
    ("project", {"answers": {"v3/projects/own$": (200, {"state": "DELETE_REQUESTED"})}},
     "bad", "state"),
    ("apis", {"disabled": {"dataflow.googleapis.com"}}, "bad", "lacking"),
    ("apis", {"answers": {"batchGet": (403, "no")}}, "unknown", "forbidden"),
    ("apis", {"answers": {"batchGet": (500, "no")}}, "unknown", "refused"),
    ("permissions", {"denied": {"dataflow.jobs.create"}}, "bad", "lacking"),
    ("bucket_permissions", {"denied": {"storage.objects.delete"}}, "bad", "lacking"),
    ("serving_service_account", {"denied": {identity.ACT_AS}}, "bad", "not_given"),
    ("dataflow_service_account", {"answers": {"stream@": (404, "no")}}, "bad", "no_account"),
    ("dataflow_service_account", {"answers": {"stream@[^:]*$": (200, {"disabled": True})}},
     "bad", "disabled_account"),
    ("quotas", {"free": 7.0}, "bad", "short"),
    ("subnetwork", {"answers": {"subnetworks": (404, "no")}}, "bad", "missing"),
    ("subnetwork", {"answers": {"subnetworks": (200, {})}}, "bad", "closed"),
    ("bucket", {"answers": {"b/own-archive$": (404, "no")}}, "bad", "missing"),
    ("bucket", {"answers": {"b/own-archive$": (200, {"location": "EU"})}}, "bad", "far"),
    ("bucket", {"answers": {"b/own-archive$": (403, "no")}}, "unknown", "forbidden"),
    ("secrets", {"answers": {"mongo-uri": (404, "no")}}, "bad", "lacking"),
    ("secrets", {"answers": {"mongo-uri": (200, {"state": "DISABLED"})}}, "bad", "disabled"),
    ("serving_image", {"answers": {"tags": (404, "no")}}, "bad", "missing"),
    ("dataflow_image", {"answers": {"pipeline@": (404, "no")}}, "bad", "missing"),
    ("bigquery", {"answers": {"datasets": (500, "no")}}, "bad", "said"),
    ("vertex", {"answers": {"health": (500, "no")}}, "bad", "said"),
    ("dataflow", {"answers": {"v1b3": (403, "no")}}, "bad", "said"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "world", "state", "reason"), BAD)
def test_what_is_not_well_says_so_and_what_to_do(
    name: str, world: dict[str, Any], state: str, reason: str, project: Project
) -> None:
    for attribute, value in world.items():
        setattr(project, attribute, value)
    assert looked(name, project.params()) == (state, reason)


def test_what_is_missing_is_named(project: Project) -> None:
    project.disabled = {"dataflow.googleapis.com", "managedkafka.googleapis.com"}
    found = look("apis", project.params())
    assert found is not None
    assert words.found(found) == "faltan dataflow.googleapis.com, managedkafka.googleapis.com"
    assert words.to_do(found) == (
        "gcloud services enable dataflow.googleapis.com managedkafka.googleapis.com --project=own"
    )
    project.free = 7
    short = look("quotas", project.params())
    assert short is not None
    assert "N2_CPUS: hacen falta 8 y quedan 7" in words.found(short)
    image = look("serving_image", project.params())
    assert image is not None
    assert DIGEST in words.found(image)


def test_a_job_of_that_name_is_told(project: Project) -> None:
    settings = project.params()
    name = dataflow.job_name(cluster.stream_name(settings))
    job = {"id": "1", "name": name, "currentState": "JOB_STATE_RUNNING",
           "createTime": "2026-01-05T00:00:00Z"}  # fmt: skip
    project.answers = {"v1b3": (200, {"jobs": [job]})}
    found = look("dataflow", settings)
    assert found is not None
    assert (found.state, found.reason, found.facts["state"]) == ("good", "job", "RUNNING")
    assert words.to_do(found) == "nada: «stream» la sustituye"


def test_the_profile_as_it_comes_is_nobodys() -> None:
    settings = params.load("gcp")
    demo = look("demo", settings)
    assert demo is not None
    assert demo.state == "bad"
    assert {"project", "kafka_bootstrap", "dataflow_image"} <= set(demo.facts["names"])
    assert looked("dataflow_image", settings) == ("bad", "no_digest")


def test_an_estimate_above_the_limit_is_bad(project: Project) -> None:
    assert looked("budget", project.params(monthly_limit=10)) == ("bad", "estimate")


@pytest.mark.usefixtures("nobody")
def test_without_credentials_the_rest_is_not_known_and_soon() -> None:
    begun = time.monotonic()
    settings = params.load("gcp", **google_project.OWN)
    findings = {found.check: found for found in check.check(settings)}
    assert time.monotonic() - begun < running.PATIENCE
    assert findings["credentials"].state == "bad"
    own = {"demo", "credentials", "budget", "versions", "kafka"}
    assert {f.reason for name, f in findings.items() if name not in own} == {"no_identity"}
    assert {f.state for name, f in findings.items() if name not in own} == {"unknown"}
    assert (findings["kafka"].state, findings["kafka"].reason) == ("unknown", "private")


@pytest.mark.parametrize(
    ("status", "expected"), [(200, ("good", "found")), (400, ("bad", "useless"))]
)
def test_credentials_are_told_by_whose_they_are_and_never_what_they_are(
    status: int,
    expected: tuple[str, str],
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    answer = {"access_token": PASSWORD, "expires_in": 3600} if status == 200 else "revoked"
    project.answers["^/token$"] = (status, answer)
    private = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    email = "deployer@own.iam.gserviceaccount.com"
    key = {"type": "service_account", "client_email": email, "private_key": private.decode(),
           "token_uri": f"{project.address}/token"}  # fmt: skip
    (tmp_path / "key.json").write_text(json.dumps(key))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    settings = params.load("gcp", **google_project.OWN)
    assert looked("credentials", settings) == expected
    found = look("credentials", settings)
    assert found is not None
    assert (email in words.found(found)) == (status == 200)
    told = json.dumps([vars(found), words.found(found)])
    assert PASSWORD not in told and "PRIVATE KEY" not in told


def test_what_does_not_answer_in_time_is_not_known() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"mongodb://127.0.0.1:{silent.getsockname()[1]}"
        begun = time.monotonic()
        settings = params.load("local", mongo_uri=uri)
        checks = {"mongo": places.mongo, "versions": built.versions}
        found = running.run(Context(settings, Apis(settings)), checks, 0.5)
    assert [(each.check, each.state) for each in found] == [
        ("mongo", "unknown"),
        ("versions", "good"),
    ]
    assert found[0].reason == "slow"
    assert time.monotonic() - begun < 3


def test_what_checks_share_is_imported_before_any_begins(project: Project) -> None:
    """In a process that has imported nothing, two that begin at once would find it half made."""
    script = (
        "import sys\n"
        "from spotify_mlops.config import carried\n"
        "from spotify_mlops.io.google_apis import Apis\n"
        "from spotify_mlops.operations.cloud.check import Context, Finding, running\n"
        "def look(_):\n"
        "    shared = {'apache_beam', 'google.cloud.bigquery', 'google.cloud.aiplatform_v1'}\n"
        "    return Finding('x', 'good', str(shared <= sys.modules.keys()))\n"
        "assert 'apache_beam' not in sys.modules\n"
        "settings = carried.parse(sys.argv[1])\n"
        "print(running.run(Context(settings, Apis(settings)), {'x': look})[0].reason)"
    )
    text = carried.arguments(project.params())[1]
    done = subprocess.run(
        [sys.executable, "-c", script, text], stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout == "True\n"


def test_a_defect_in_one_check_leaves_the_others() -> None:
    settings = params.load("local")

    def broken(_: Context) -> Finding:
        raise KeyError("x")

    found = running.run(
        Context(settings, Apis(settings)), {"versions": built.versions, "demo": broken}
    )
    assert [(each.state, each.reason) for each in found] == [
        ("good", "same"),
        ("unknown", "failed"),
    ]


def test_brokers_that_are_not_there(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    settings = project.params(kafka_bootstrap=f"127.0.0.1:{port}")
    assert looked("kafka", settings) == ("bad", "unreachable")


def test_brokers_that_do_not_speak_tls(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 400 no\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        settings = project.params(kafka_bootstrap=f"127.0.0.1:{listening.getsockname()[1]}")
        assert looked("kafka", settings) == ("bad", "tls")
        thread.join()


def test_authorities_that_are_no_certificate(project: Project, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no")
    settings = project.params(kafka_ca=str(tmp_path / "ca.pem"))
    with pytest.raises(ssl.SSLError):
        places._handshake(Context(settings, Apis(settings)), "127.0.0.1", 1)
    assert looked("kafka", settings) == ("bad", "tls")


def test_a_secret_of_the_environment_is_looked_for_and_not_told(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = project.params(mongo_uri="env:OWN_MONGO")
    monkeypatch.delenv("OWN_MONGO", raising=False)
    assert looked("secrets", settings) == ("bad", "lacking")
    # The second @ is not escaped: the client refuses it at once.
    monkeypatch.setenv("OWN_MONGO", f"mongodb://own:{PASSWORD}@x@127.0.0.1:1")
    assert looked("secrets", settings) == ("good", "all")
    mongo = look("mongo", settings)
    assert mongo is not None
    assert mongo.state == "bad"
    assert PASSWORD not in json.dumps([vars(mongo), words.found(mongo)], default=str)


def test_a_local_profile_has_only_what_is_on_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path))
    found = {each.check: each for each in check.check(params.load("local"))}
    assert set(found) == {"kafka", "bigquery", "vertex", "mongo", "versions"}
    assert found["kafka"].state == "bad"
    assert "spotify-mlops up" in words.found(found["kafka"])


def test_nothing_is_written_or_read_that_a_check_has_no_business_with(project: Project) -> None:
    settings = project.params()
    for name in set(check.CHECKS) - {"kafka", "mongo"}:
        look(name, settings)
    assert not [path for path in project.asked if path.endswith(":access")]


def test_the_command_tells_a_program_and_a_person(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "CHECKS", {n: c for n, c in check.CHECKS.items() if n in WELL})
    settings = project.params()
    changed = [f"--set={name}={value}" for name, value in settings.flat().items() if
               name in google_project.OWN or str(value).startswith(project.address)]  # fmt: skip
    arguments = ["cloud", "check", "--params", "gcp", *changed]
    main.main([*arguments, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is True
    assert [each["check"] for each in told["checks"]] == [n for n in check.CHECKS if n in WELL]
    project.disabled = {"dataflow.googleapis.com"}
    with pytest.raises(SystemExit) as end:
        main.main(arguments)
    assert end.value.code == 1
    shown = capsys.readouterr().out
    assert "APIs                        MAL     faltan dataflow.googleapis.com" in shown
    assert f"{len(WELL) - 1} bien, 1 MAL." in shown


def test_the_quota_is_of_the_most_workers(project: Project) -> None:
    found = capacity.quotas(Context(project.params(dataflow_max_workers=5), Apis(project.params())))
    assert found is not None
    assert (found.facts["workers"], found.facts["vcpus"]) == (5, 10)
