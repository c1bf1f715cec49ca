"""Deploying step by step: against a project of this machine, with tools that keep what they did."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import google_project
from google_project import DIGEST, Project
from spotify_mlops.cli import cloud, main
from spotify_mlops.config import params as parameters
from spotify_mlops.config import paths
from spotify_mlops.config.errors import ParamsError, ServiceError
from spotify_mlops.config.params import Params
from spotify_mlops.io.google_apis import Apis
from spotify_mlops.model import seal
from spotify_mlops.model.training_result import TrainingResult
from spotify_mlops.operations.cloud import check
from spotify_mlops.operations.cloud import deploy as deploying
from spotify_mlops.operations.cloud.deploy import service
from spotify_mlops.operations.cloud.deploy.step import Deployment
from spotify_mlops.operations.engines import cluster, dataflow
from spotify_mlops.presentation.es import cloud_deploy as words

LOCATION = "projects/own/locations/us-central1"
PULUMI = """
import json, os, pathlib, sys
home = pathlib.Path(__file__).parent
with (home / "calls").open("a") as log:
    log.write(json.dumps([sys.argv[1:], os.environ["SPOTIFY_MLOPS_PROJECT"],
                          os.environ["SPOTIFY_MLOPS_DATAFLOW_IMAGE"], os.getcwd()]) + "\\n")
made = home / "made"
if sys.argv[1:3] == ["stack", "ls"]:
    print(json.dumps([{"name": "organization/spotify-mlops/gcp"}] if made.exists() else []))
elif sys.argv[1] == "preview":
    print(json.dumps({"changeSummary": json.loads(made.read_text())}))
elif sys.argv[1] == "stack":
    made.write_text('{"create": 148}')
elif sys.argv[1] == "up":
    print(" +  gcp:storage:Bucket archive creating (3s)")
    if (home / "broken").exists():
        print("error: quota exceeded for managedkafka", file=sys.stderr)
        sys.exit(255)
    made.write_text('{"same": 148}')
"""
DOCKER = """
import pathlib, sys
home = pathlib.Path(__file__).parent
if sys.argv[1] == "buildx":
    print("sha256:" + "c" * 64)
elif sys.argv[1] == "push":
    with (home / "pushed").open("a") as log:
        log.write(sys.argv[2] + "\\n")
"""


def never(settings: Params) -> TrainingResult:
    raise AssertionError("nothing is to be trained")


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A path with no more than the shell's own commands, to which commands are added."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("sh", "cat", "dirname", "grep", "mv"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def add(tools: Path, name: str, code: str) -> None:
    (tools / name).write_text(f"#!{sys.executable}\n{code}")
    (tools / name).chmod(0o755)


def calls(tools: Path) -> list[list[Any]]:
    return [json.loads(line) for line in (tools / "calls").read_text().splitlines()]


class World:
    """What a project answers of its endpoint and its job, and what is done to them."""

    def __init__(self, project: Project, name: str) -> None:
        self.project, self.name = project, name
        self.versions: dict[str, int] = {}
        self.job, self.later = "", ["PENDING", "RUNNING"]
        self.instances: int | None = None
        self.reconciling: list[dict[str, Any]] = []
        self.fails = ""
        project.answers = {
            "/metrics$": (200, {"metrics": []}),
            "/v1b3/": self.jobs,
            "/endpoints": self.endpoints,
            "/workerPools/popularity-gcp-stream$": self.pool,
        }

    def pool(self, method: str, path: str) -> tuple[int, Any]:
        if method == "PATCH":
            self.instances = self.project.sent[-1]["scaling"]["manualInstanceCount"]
            return 200, {"name": f"{LOCATION}/operations/9"}
        if self.instances is None:
            return 404, "no"
        changing = self.reconciling.pop(0) if self.instances and self.reconciling else {}
        return 200, {"scaling": {"manualInstanceCount": self.instances}, **changing}

    def jobs(self, method: str, path: str) -> tuple[int, Any]:
        if self.instances and self.later and path.endswith("/jobs"):
            self.job = self.later.pop(0)
        told = {"id": "1", "name": self.name, "currentState": f"JOB_STATE_{self.job}",
                "createTime": "2026-01-05T00:00:00Z"}  # fmt: skip
        return 200, {"jobs": [told] if self.job else []}

    def endpoints(self, method: str, path: str) -> tuple[int, Any]:
        name = f"{LOCATION}/endpoints/popularity-gcp"
        if self.fails and path.endswith(self.fails):
            return 400, "not now"
        if path.endswith("/operations"):
            return 200, {"operations": []}
        if path.endswith(":deployModel"):
            self.versions = {"2": 100}
            kind = "type.googleapis.com/google.cloud.aiplatform.v1.DeployModelResponse"
            return 200, {"name": f"{name}/operations/1", "done": True, "response": {"@type": kind}}
        content = {
            "name": name,
            "deployedModels": [{"id": f"m{v}", "modelVersionId": v} for v in self.versions],
            "trafficSplit": {f"m{version}": share for version, share in self.versions.items()},
        }
        return 200, content


@pytest.fixture
def settings(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    # Nobody is where its secret would say.
    monkeypatch.setitem(check.CHECKS, "mongo", lambda context: None)
    bootstrap = "bootstrap.log.us-central1.managedkafka.own.cloud.goog:9092"
    return project.params(archive=str(tmp_path / "archive"), kafka_bootstrap=bootstrap)


@pytest.fixture
def world(project: Project, settings: Params) -> World:
    return World(project, dataflow.job_name(cluster.stream_name(settings)))


def promote(settings: Params) -> None:
    """Make a version the champion of the settings' archive."""
    file = Path(settings.cloud.archive) / "models" / settings.model.name / "schedule.json"
    file.parent.mkdir(parents=True)
    time = "2026-01-05T00:00:00Z"
    promotion = {"effective_from": time, "version": "2", "promoted_at": time}
    record = {"promotions": [promotion], "versions": {"2": "0" * 64}}
    file.write_text(json.dumps(seal.sealed(f"models/{settings.model.name}", record)))


def states(report: deploying.Report) -> dict[str, str]:
    return {each.step: each.state for each in report.stages}


def told(report: deploying.Report) -> str:
    return "\n".join(words.plan_lines(report, dry_run=True))


def test_a_plan_of_nothing_says_all_that_there_is_to_do_and_changes_nothing(
    project: Project, settings: Params, world: World, tools: Path
) -> None:
    project.answers |= {"dockerImages|tags": (404, "no"), "/endpoints": (404, "no")}
    add(tools, "pulumi", PULUMI)
    add(tools, "docker", DOCKER)
    (tools / "made").write_text('{"create": 148}')
    report = deploying.deploy(settings, never)
    assert states(report) == {
        "check": "done", "images": "to_do", "platform": "to_do", "model": "to_do",
        "endpoint": "to_do", "stream": "to_do", "dashboards": "done", "audit": "to_do",
    }  # fmt: skip
    assert project.changed == []
    assert [call[0][:2] for call in calls(tools)] == [["stack", "ls"], ["preview", "--json"]]
    assert not (tools / "pushed").exists()
    shown = told(report)
    assert "se construyen y se suben pipeline, serving, training" in shown
    assert "en la pila gcp: create 148" in shown
    assert "no hay campeón" in shown
    assert "«cloud deploy --yes» lo hace" in shown


def test_a_plan_of_what_is_there_has_nothing_to_do(
    project: Project, settings: Params, world: World, tools: Path
) -> None:
    promote(settings)
    world.versions, world.job = {"2": 100}, "RUNNING"
    add(tools, "pulumi", PULUMI)
    (tools / "made").write_text('{"same": 148}')
    report = deploying.deploy(settings, never, without=["audit"])
    assert set(states(report).values()) == {"done", "omitted"}
    assert report.is_well
    again = deploying.deploy(settings, never, without=["audit"], dry_run=False)
    assert states(again) == states(report)
    assert project.changed == []
    assert not [call for call in calls(tools) if call[0][0] == "up"]


@pytest.mark.usefixtures("nobody")
def test_without_credentials_no_bucket_is_asked_for_a_champion(project: Project) -> None:
    settings = parameters.load("gcp", **google_project.OWN)
    context = check.Context(settings, Apis(settings))
    found = service.champion(Deployment(context, never, frozenset(), dry_run=True))
    assert (found.state, found.reason) == ("unknown", "no_identity")
    assert project.asked == []


def test_what_is_missing_is_done_in_order_and_what_failed_is_gone_on_with(
    project: Project, settings: Params, world: World, tools: Path
) -> None:
    promote(settings)
    world.job = "RUNNING"
    add(tools, "pulumi", PULUMI)
    (tools / "broken").touch()
    said: list[str] = []
    with pytest.raises(ServiceError) as failure:
        deploying.deploy(settings, never, without=["audit"], dry_run=False, say=said.append)
    assert "Paso «platform»: «pulumi up» falló (código 255)" in str(failure.value)
    assert "quota exceeded for managedkafka" in str(failure.value)
    assert "repite la orden" in str(failure.value)
    assert any("[3/8] platform: pulumi: +  gcp:storage:Bucket archive" in line for line in said)
    assert project.changed == []

    (tools / "broken").unlink()
    world.fails = ":deployModel"
    with pytest.raises(ServiceError, match=r"Paso «endpoint»: .*not now"):
        deploying.deploy(settings, never, without=["audit"], dry_run=False)
    world.fails = ""
    report = deploying.deploy(settings, never, without=["audit"], dry_run=False)
    assert set(states(report).values()) == {"done", "omitted"}
    assert world.versions == {"2": 100}
    ups = [call for call in calls(tools) if call[0][0] == "up"]
    assert len(ups) == 2
    arguments, of_project, image, folder = ups[0]
    assert arguments == ["up", "--yes", "--skip-preview", "--non-interactive", "--stack", "gcp"]
    assert (of_project, json.loads(image)) == ('"own"', settings.dataflow.image)
    assert Path(folder) == paths.root() / "infra" / "platform"


def test_one_that_is_interrupted_leaves_pulumi_to_end_and_goes_on_after_it(
    project: Project, settings: Params, world: World, tools: Path
) -> None:
    promote(settings)
    world.versions, world.job = {"2": 100}, "RUNNING"
    add(tools, "pulumi", PULUMI)
    said: list[str] = []

    def interrupt(message: str) -> None:
        said.append(message)
        if "archive creating" in message:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deploying.deploy(settings, never, without=["audit"], dry_run=False, say=interrupt)
    assert said[-1] == "[3/8] platform: pulumi: se espera a que acabe lo que tiene a medias"
    assert json.loads((tools / "made").read_text()) == {"same": 148}
    report = deploying.deploy(settings, never, without=["audit"], dry_run=False)
    assert set(states(report).values()) == {"done", "omitted"}
    assert len([call for call in calls(tools) if call[0][0] == "up"]) == 1


def test_without_pulumi_it_says_what_to_install_and_stops_there(
    project: Project, settings: Params, world: World, tools: Path
) -> None:
    report = deploying.deploy(settings, never, dry_run=False)
    assert report.stopped is not None
    assert states(report) == {"check": "done", "images": "done", "platform": "blocked"}
    assert "get.pulumi.com" in words.why_stopped(report.stopped)
    assert project.changed == []


def test_a_preview_that_fails_is_told_in_pulumis_words(
    settings: Params, world: World, tools: Path
) -> None:
    broken = """
import json, sys
print(json.dumps([{"name": "gcp"}] if "ls" in sys.argv else {"diagnostics": [
    {"severity": "error", "message": "could not log in\\n"}]}))
sys.exit("preview" in sys.argv)
"""
    add(tools, "pulumi", broken)
    report = deploying.deploy(settings, never)
    assert states(report)["platform"] == "blocked"
    assert "could not log in" in told(report)
    assert not report.is_well
    assert states(report)["stream"] == "to_do", "what follows is told all the same"


def test_what_the_platform_left_to_somebody_stops_it(
    project: Project, settings: Params, world: World, tools: Path
) -> None:
    project.answers["mongo-uri"] = (404, "no")
    add(tools, "pulumi", PULUMI)
    report = deploying.deploy(settings, never, dry_run=False)
    assert states(report) == {"check": "done", "images": "done", "platform": "blocked"}
    assert [each.check for each in report.problems] == ["secrets"]
    assert "créalos en Secret Manager" in told(report)
    # Where somebody else makes the platform, it has to be right before anything is begun.
    report = deploying.deploy(settings, never, without=["platform"], dry_run=False)
    assert states(report) == {"check": "blocked"}


@pytest.mark.parametrize(
    ("answers", "denied", "said"),
    [
        ({}, {"dataflow.jobs.create"}, "Permisos en el proyecto"),
        ({"v3/projects/own$": (403, "may not exist")}, set(), "own no existe, o no puedes verlo"),
    ],
)
def test_what_no_step_mends_stops_it_before_the_first(
    answers: dict[str, Any],
    denied: set[str],
    said: str,
    project: Project,
    settings: Params,
    world: World,
    tools: Path,
) -> None:
    project.answers |= answers
    project.denied = denied
    report = deploying.deploy(settings, never, dry_run=False)
    assert states(report) == {"check": "blocked"}
    assert said in told(report)
    assert "cloud check" in words.why_stopped(report.stages[0])


@pytest.mark.parametrize("named", ["serving_image", "dataflow_image"])
def test_images_of_the_example_are_nobodys_to_build(
    named: str, project: Project, settings: Params, world: World, tools: Path
) -> None:
    example = parameters.load("gcp").value(named)
    report = deploying.deploy(settings.replace(**{named: example}), never, dry_run=False)
    assert states(report) == {"check": "blocked"}
    assert [each.check for each in report.problems] == ["demo"]


def test_nothing_is_begun_above_the_limit(project: Project, settings: Params) -> None:
    for dry_run in (True, False):
        with pytest.raises(ParamsError, match="monthly_limit es 10: no se despliega nada"):
            deploying.deploy(settings.replace(monthly_limit=10), never, dry_run=dry_run)
    assert project.asked == []


def test_a_step_that_is_left_out_is_not_even_looked_at(
    project: Project, settings: Params, world: World, tools: Path
) -> None:
    report = deploying.deploy(settings, never, without=deploying.CODES)
    assert set(states(report).values()) == {"omitted"}
    assert project.asked == []
    assert told(report).count("omitido") == len(deploying.CODES)


def test_what_cannot_be_asked_is_not_known_and_not_begun(
    project: Project, settings: Params, world: World, tools: Path
) -> None:
    project.answers["artifactregistry"] = (403, "no")
    planned = deploying.deploy(settings, never, without=["platform"])
    assert states(planned)["images"] == "unknown"
    report = deploying.deploy(settings, never, without=["platform"], dry_run=False)
    assert report.stopped is not None
    assert report.stopped.step == "images"
    assert project.changed == []


def test_a_model_needs_services_that_answer(
    settings: Params, world: World, tools: Path, project: Project
) -> None:
    with pytest.raises(ServiceError, match=r"Paso «model»: .*Kafka"):
        deploying.deploy(
            settings.replace(kafka_bootstrap="127.0.0.1:1", kafka_sasl_mechanism=None,
                             kafka_security_protocol="PLAINTEXT"),
            never, without=["check", "platform"], dry_run=False,
        )  # fmt: skip
    assert project.changed == []


def test_a_job_that_does_not_begin_is_told_with_its_log(
    settings: Params, world: World, tools: Path
) -> None:
    promote(settings)
    world.versions = {"2": 100}
    elsewhere = settings.replace(kafka_bootstrap="127.0.0.1:1", kafka_sasl_mechanism=None,
                                 kafka_security_protocol="PLAINTEXT")  # fmt: skip
    with pytest.raises(ServiceError, match="Paso «stream»: «stream» terminó al arrancar") as told:
        deploying.deploy(elsewhere, never, without=["check", "platform"], dry_run=False)
    assert "Kafka" in str(told.value)


@pytest.fixture
def released(settings: Params, world: World, tools: Path) -> None:
    """All but the streaming job is there."""
    promote(settings)
    world.versions, world.instances = {"2": 100}, 0
    add(tools, "pulumi", PULUMI)
    (tools / "made").write_text('{"same": 162}')


@pytest.mark.usefixtures("released")
def test_the_platforms_pool_sends_the_job_and_is_waited_for(
    project: Project, settings: Params, world: World
) -> None:
    said: list[str] = []
    report = deploying.deploy(settings, never, without=["audit"], dry_run=False, say=said.append)
    assert states(report)["stream"] == "done"
    assert project.changed == [f"PATCH /run/v2/{LOCATION}/workerPools/popularity-gcp-stream"]
    assert project.sent == [{"scaling": {"manualInstanceCount": 1}}]
    assert [line.partition("stream: ")[2] for line in said if "stream: la" in line] == [
        "la tarea está en PENDING", "la tarea está en RUNNING",
    ]  # fmt: skip


@pytest.mark.usefixtures("released")
@pytest.mark.parametrize(
    ("after", "said"),
    [
        ([{"reconciling": True}, {"generation": "2", "observedGeneration": "1"}], ""),
        ([{"terminalCondition": {"state": "CONDITION_FAILED", "message": "no image"}}], "no image"),
    ],
)
def test_the_pool_is_waited_for(
    after: list[dict[str, Any]], said: str, settings: Params, world: World
) -> None:
    world.reconciling = after
    if said:
        with pytest.raises(ServiceError, match=f"Paso «stream»: Cloud Run no da .*: {said}"):
            deploying.deploy(settings, never, without=["audit"], dry_run=False)
    else:
        deploying.deploy(settings, never, without=["audit"], dry_run=False)
        assert world.reconciling == []


@pytest.mark.usefixtures("released")
def test_a_job_that_takes_too_long_is_gone_on_waiting_for(
    project: Project, settings: Params, world: World
) -> None:
    world.later = ["PENDING"]
    short = settings.replace(deploy_timeout="1s")
    for _ in range(2):
        with pytest.raises(ServiceError, match="Paso «stream»: La tarea no ha empezado en 1s"):
            deploying.deploy(short, never, without=["audit"], dry_run=False)
    assert len(project.changed) == 1
    world.later = ["RUNNING"]
    report = deploying.deploy(short, never, without=["audit"], dry_run=False)
    assert states(report)["stream"] == "done"


@pytest.mark.usefixtures("released")
def test_a_job_that_nobody_watches_is_not_deployed(settings: Params, world: World) -> None:
    world.job = "RUNNING"
    report = deploying.deploy(settings, never)
    assert states(report)["stream"] == "to_do"
    assert "nadie la vigila" in told(report)
    # Where the platform is somebody else's, so is that.
    report = deploying.deploy(settings, never, without=["platform"])
    assert states(report)["stream"] == "done"


@pytest.mark.usefixtures("released")
@pytest.mark.parametrize(
    ("answer", "said"),
    [((404, "no"), "No existe el grupo popularity-gcp-stream"), ((403, "not yours"), "not yours")],
)
def test_without_its_pool_the_job_cannot_be_sent(
    answer: tuple[int, str], said: str, project: Project, settings: Params
) -> None:
    project.answers["/workerPools/popularity-gcp-stream$"] = answer
    with pytest.raises(ServiceError, match=f"Paso «stream»: .*{said}"):
        deploying.deploy(settings, never, without=["audit"], dry_run=False)
    assert project.changed == []


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of its own, in which building leaves its locks."""
    home = tmp_path / "checkout"
    shutil.copytree(paths.root() / "params", home / "params")
    (home / "infra" / "platform").mkdir(parents=True)
    for name in ("build.sh", "platform/Pulumi.yaml"):
        shutil.copy(paths.root() / "infra" / name, home / "infra" / name)
    monkeypatch.setenv("SPOTIFY_MLOPS_HOME", str(home))
    return home


@pytest.mark.parametrize("has_repository", [True, False])
def test_images_are_built_pushed_and_the_digest_is_asked_for(
    has_repository: bool,
    project: Project,
    settings: Params,
    world: World,
    tools: Path,
    checkout: Path,
) -> None:
    add(tools, "docker", DOCKER)
    add(tools, "pulumi", PULUMI)
    unbuilt = settings.dataflow.image.partition("@")[0] + "@" + check.built.NO_DIGEST

    def registry(method: str, path: str) -> tuple[int, Any]:
        pushed = (tools / "pushed").read_text() if (tools / "pushed").exists() else ""
        if not has_repository and not (tools / "made").exists():
            return 403, "Artifact Registry API has not been used in project own before"
        if path.endswith("/repositories/mlops"):
            return 200, {}
        name = path.rpartition("/tags/")[0].rpartition("/")[2] or path.rpartition("/")[2]
        there = f"/{name.partition('@')[0]}:" in pushed
        return (200, {"version": f"x/versions/{DIGEST}"}) if there else (404, "no")

    project.answers["artifactregistry"] = registry
    project.disabled = set() if has_repository else {"artifactregistry.googleapis.com"}
    first = settings.replace(dataflow_image=unbuilt)
    said: list[str] = []
    with pytest.raises(ParamsError) as asked:
        deploying.deploy(first, never, dry_run=False, say=said.append)
    image = settings.dataflow.image.partition("@")[0]
    assert f"dataflow_image: {image}@{DIGEST}" in str(asked.value)
    pushed = (tools / "pushed").read_text().split()
    assert pushed == [f"{image}:0.1.0", settings.cloud.serving_image, settings.cloud.training_image]
    made = [call for call in calls(tools) if call[0][0] == "up"] if not has_repository else []
    assert [json.loads(call[2]) for call in made] == ([] if has_repository else [unbuilt])
    project.disabled = set()
    # Asked again, it has nothing to build; with the digest it goes on.
    with pytest.raises(ParamsError):
        deploying.deploy(first, never, dry_run=False)
    assert (tools / "pushed").read_text().split() == pushed
    report = deploying.deploy(settings, never, without=["platform"])
    assert states(report)["images"] == "done"


def test_images_without_tools_are_not_to_be_had(
    project: Project, settings: Params, world: World, tools: Path
) -> None:
    project.answers["tags"] = (404, "no")
    report = deploying.deploy(settings, never, without=["platform"], dry_run=False)
    assert states(report) == {"check": "done", "images": "blocked"}
    assert report.stopped is not None
    assert "faltan serving, training, y no hay docker" in words.why_stopped(report.stopped)


def test_boards_are_the_platforms(settings: Params, world: World, tools: Path) -> None:
    there = settings.replace(platform_grafana="https://grafana.example.org")
    assert "los de https://grafana.example.org" in told(
        deploying.deploy(there, never, without=["platform"])
    )
    add(tools, "pulumi", PULUMI)
    (tools / "made").write_text('{"same": 140, "update": 8}')
    assert states(deploying.deploy(there, never))["dashboards"] == "to_do"


def arguments(project: Project, settings: Params) -> list[str]:
    values = settings.flat()
    return ["--params", "gcp", *(
        f"--set={name}={values[name]}" for name in values
        if name in google_project.OWN or str(values[name]).startswith(project.address)
    )]  # fmt: skip


def run(*given: str) -> int:
    try:
        main.main(["cloud", *given])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


def test_the_commands_tell_a_program_and_a_person(
    project: Project,
    settings: Params,
    world: World,
    tools: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [*arguments(project, settings), "--without", "platform"]
    assert run("plan", "--json", *given) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["ok"], content["dry_run"], content["audit"]) == (True, True, None)
    assert [each["step"] for each in content["steps"]] == [*deploying.CODES]
    assert {each["step"]: each["state"] for each in content["steps"]}["platform"] == "omitted"
    assert run("deploy", *given) == 0
    assert "Plataforma (platform)" in capsys.readouterr().out
    project.denied = {"dataflow.jobs.create"}
    assert run("plan", *given) == 1
    assert run("deploy", "--yes", *given) == 1
    shown = capsys.readouterr()
    assert "Error: Paso «check»: está mal: Permisos en el proyecto" in shown.err
    assert "pide un papel que los tenga" in shown.out
    assert project.changed == []


def test_what_there_is_nothing_to_deploy_of(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("plan", "deploy"):
        assert run(command) == ParamsError.exit_code
        assert "spotify-mlops run" in capsys.readouterr().err


def test_each_step_has_its_words_and_the_command_its_codes() -> None:
    assert deploying.CODES == cloud._STEPS == tuple(words.STEPS)
