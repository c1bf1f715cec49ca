"""What of a profile runs: against servers of this machine that answer as Google's APIs do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from google_project import Project
from spotify_mlops.cli import main
from spotify_mlops.config.params import Params
from spotify_mlops.io.google_apis import Apis
from spotify_mlops.model import seal
from spotify_mlops.operations.cloud import status
from spotify_mlops.operations.cloud.check import running
from spotify_mlops.operations.cloud.check.finding import Context, Finding
from spotify_mlops.operations.engines import cluster, dataflow
from spotify_mlops.presentation.es import cloud_check as words


def look(name: str, settings: Params) -> Finding:
    context = Context(settings, Apis(settings))
    found = running.guarded(name, status.PARTS[name], context, "unknown")
    assert found is not None
    assert words.found(found)
    return found


def job_name(settings: Params) -> str:
    return dataflow.job_name(cluster.stream_name(settings))


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], ("off", "none")),
        (["RUNNING"], ("good", "runs")),
        (["DRAINING"], ("bad", "runs")),
    ],
)
def test_a_job_is_told_with_its_state(
    states: list[str], expected: tuple[str, str], project: Project
) -> None:
    settings = project.params()
    jobs = [
        {"id": "1", "name": job_name(settings), "currentState": f"JOB_STATE_{state}",
         "createTime": "2026-01-05T00:00:00Z"}
        for state in states
    ]  # fmt: skip
    project.answers = {"/metrics$": (200, {"metrics": []}), "v1b3": (200, {"jobs": jobs})}
    found = look("job", settings)
    assert (found.state, found.reason) == expected
    assert all(state in words.found(found) for state in states)


@pytest.mark.parametrize(
    ("answer", "expected", "said"),
    [
        ((404, "no"), ("off", "none"), "no existe el grupo popularity-gcp-stream"),
        ((200, {}), ("off", "idle"), "sin ninguna instancia"),
        ((200, {"scaling": {"manualInstanceCount": 1}}), ("good", "watched"), "1 instancia, lista"),
        (
            (200, {"scaling": {"manualInstanceCount": 1}, "reconciling": True}),
            ("unknown", "changing"),
            "cambiando a 1",
        ),
        (
            (200, {"terminalCondition": {"state": "CONDITION_FAILED", "message": "no image"}}),
            ("bad", "broken"),
            "no arranca: no image",
        ),
        ((403, "not yours"), ("unknown", "said"), "not yours"),
    ],
)
def test_who_watches_the_job_is_told_with_its_instances(
    answer: tuple[int, Any], expected: tuple[str, str], said: str, project: Project
) -> None:
    project.answers = {"/workerPools/": answer}
    found = look("watching", project.params())
    assert (found.state, found.reason) == expected
    assert said in words.found(found)


def test_where_this_machine_watches_there_is_no_pool_to_tell_of(project: Project) -> None:
    settings = project.params(dataflow_endpoint="local")
    assert status.watching(Context(settings, Apis(settings))) is None
    assert project.asked == []


def promoted(settings: Params, archive: Path, version: str) -> Params:
    """Return the params with an archive whose promotions say that a version is the champion."""
    file = archive / "models" / settings.model.name / "schedule.json"
    file.parent.mkdir(parents=True)
    time = "2026-01-05T00:00:00Z"
    promotion = {"effective_from": time, "version": version, "promoted_at": time}
    record = {"promotions": [promotion], "versions": {version: "0" * 64}}
    file.write_text(json.dumps(seal.sealed(f"models/{settings.model.name}", record)))
    return settings.replace(archive=str(archive))


@pytest.mark.parametrize(
    ("serving", "expected", "said"),
    [
        ({}, ("off", "none"), "no responde ninguna versión"),
        ({"2": 90, "3": 10}, ("good", "serves"), "responden 2 (90 %), 3 (10 %); el campeón es 2"),
        ({"1": 100}, ("bad", "differs"), "responden 1 (100 %), y no el campeón (2)"),
    ],
)
def test_an_endpoint_is_told_with_its_versions(
    serving: dict[str, int],
    expected: tuple[str, str],
    said: str,
    project: Project,
    tmp_path: Path,
) -> None:
    settings = promoted(project.params(), tmp_path / "archive", "2")
    content = {
        "name": "x",
        "deployedModels": [{"id": f"m{v}", "modelVersionId": v} for v in serving],
        "trafficSplit": {f"m{version}": share for version, share in serving.items()},
    }
    project.answers = {"/endpoints/": (200, content) if serving else (404, "no")}
    found = look("endpoint", settings)
    assert (found.state, found.reason) == expected
    assert words.found(found) == said


def test_a_bucket_is_looked_at_where_it_is(project: Project) -> None:
    assert (look("archive", project.params()).state) == "good"
    project.answers = {"b/own-archive$": (404, "no")}
    found = look("archive", project.params())
    assert (found.state, words.found(found)) == ("bad", "no existe own-archive")


def test_a_folder_is_looked_at_too(project: Project, tmp_path: Path) -> None:
    settings = project.params(archive=str(tmp_path / "archive"))
    assert look("archive", settings).state == "off"
    (tmp_path / "archive").mkdir()
    assert look("archive", settings).state == "good"


def test_what_does_not_answer_is_not_known_and_no_traceback(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = project.params().replace(
        kafka_bootstrap="127.0.0.1:1", kafka_security_protocol="SSL",
        kafka_sasl_mechanism=None, mongo_uri="mongodb://127.0.0.1:1",
    )  # fmt: skip
    project.answers = {"bigquery": (400, "no such thing"), "v1b3": (503, "later")}
    found = {each.check: each for each in status.status(settings, 3)}
    assert set(found) == set(status.PARTS)
    assert {name for name, each in found.items() if each.state == "unknown"} == {
        *("job", "log", "tables", "documents")
    }
    assert capsys.readouterr().err == ""


def test_every_part_has_its_words() -> None:
    assert set(status.PARTS) <= set(words.CHECKS)


def test_the_command_tells_of_a_local_profile_that_is_down(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path))
    main.main(["cloud", "status", "--json"])
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["ok"] is True
    assert {each["state"] for each in told["checks"]} <= {"unknown", "off"}
    main.main(["cloud", "status"])
    shown = capsys.readouterr().out
    assert "Tarea en directo" in shown and "no se sabe" in shown
