"""What a new streaming job does with the one that is left: goes on with its work, or ends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from google_project import Project
from spotify_mlops.config import params
from spotify_mlops.config.params import Params
from spotify_mlops.operations.engines import cluster, dataflow, on_workers
from spotify_mlops.operations.engines.attempt import Order
from spotify_mlops.operations.engines.on_workers import WorkersAttempt
from spotify_mlops.pipeline.graph import Sinks
from spotify_mlops.pipeline.position import Position
from spotify_mlops.pipeline.sinks import positions

BEGAN = datetime(2026, 1, 5, tzinfo=UTC)
START = Position({0: 10, 1: 20}, {0: None, 1: None}, write_from=BEGAN, job="stream-0")
RUN = cluster.Run("stream-0", "1")
LEFT = dataflow.Job("1", "stream", "RUNNING", BEGAN, RUN)


class Engine:
    """An engine that has a job, and takes another in its place unless it refuses."""

    TITLE = "Motor"

    def __init__(self, job: Any = LEFT, refuses: str = "") -> None:
        self.job, self.refuses = job, refuses
        self.done: list[str] = []

    def job_name(self, text: str) -> str:
        return text

    def submit(self, params: Params, name: str, build: Any, **asked: Any) -> Any:
        self.done.append("submit")
        if self.refuses:
            raise cluster.NotUpdatedError(self.refuses)
        return replace(asked["replaced"], id="2", run=asked["run"])

    def finish(self, params: Params, job: Any) -> None:
        self.done.append("finish")

    def cancel(self, params: Params, job: Any) -> None:
        self.done.append("cancel")


@pytest.mark.parametrize(
    ("job", "done", "told"),
    [
        (LEFT, [], ""),
        (replace(LEFT, state="PENDING"), ["finish"], "se vacía"),
        (replace(LEFT, run=cluster.Run("stream-0", "2")), ["finish"], "se vacía"),
        (replace(LEFT, run=cluster.Run("stream-1", "1")), ["cancel"], "se cancela"),
        (replace(LEFT, run=None), ["cancel"], "se cancela"),
    ],
)
def test_only_a_job_of_the_same_run_and_state_is_gone_on_with(
    monkeypatch: pytest.MonkeyPatch, job: dataflow.Job, done: list[str], told: str
) -> None:
    engine = Engine(job)
    monkeypatch.setattr(cluster, "active", lambda params, name: iter([(engine, job)]))
    said: list[str] = []
    left = cluster.left_behind(params.load("local"), "stream", RUN, said.append)
    assert left is (job if not done else None)
    assert engine.done == done
    assert told in " ".join(said)


@pytest.fixture
def attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., WorkersAttempt]:
    """Make an attempt whose saved position says already how far the job has come."""
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path))
    monkeypatch.setattr(on_workers, "resumed", lambda params, saved: saved)
    monkeypatch.setattr(on_workers.dead_letters, "answered", lambda params, offsets: None)

    def make(engine: Any = None, ends: Any = None, **changed: Any) -> WorkersAttempt:
        settings = params.load("local", engine_runner="dataflow", archive=str(tmp_path), **changed)
        found = WorkersAttempt(Order(settings, Sinks([], None), ends))  # type: ignore[arg-type]
        found._cluster = engine or Engine()
        return found

    return make


def test_an_update_keeps_the_run(attempt: Callable[..., WorkersAttempt]) -> None:
    found = attempt()
    job = found._updated(LEFT, START, lambda message: None)
    assert job is not None and job.run == found._run_of(START)
    saved = positions.load(found._params)
    assert saved is not None and saved.job == START.job
    assert (saved.acknowledged, saved.write_from) == ({0: 10, 1: 20}, BEGAN)


def test_what_the_engine_does_not_update_is_drained(
    attempt: Callable[..., WorkersAttempt],
) -> None:
    engine, said = Engine(refuses="otros pasos"), list[str]()
    assert attempt(engine)._updated(LEFT, START, said.append) is None
    assert engine.done == ["submit", "finish"]
    assert said[-1] == (
        "Motor no la actualiza (otros pasos): se vacía, y otra empieza desde el registro"
    )


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({}, True),
        ({"service_timeout": "9s", "dataflow_max_workers": 3}, True),
        ({"engine_sources": 2}, False),
        ({"shards": 3}, False),
        ({"allowed_lateness": "3m"}, False),
        ({"ends": {0: 30, 1: 30}}, False),
    ],
)
def test_the_state_of_a_run_is_what_elements_under_way_mean(
    attempt: Callable[..., WorkersAttempt], changed: dict[str, Any], same: bool
) -> None:
    assert (attempt(**changed)._run_of(START) == attempt()._run_of(START)) is same


class Jobs:
    """Dataflow's answers about two jobs: the states of each, one look after the other."""

    def __init__(self, project: Project, new: list[str], old: list[str]) -> None:
        self.states = {"1": iter(old), "2": iter(new)}
        project.answers = {
            "/messages$": (200, {"jobMessages": [{"messageText": "otros pasos", "time":
                                                  "2026-01-05T00:00:00Z"}]}),
            "/v1b3/": self.job,
        }  # fmt: skip

    def job(self, method: str, path: str) -> tuple[int, Any]:
        id_ = path.rpartition("/")[2]
        return 200, {"id": id_, "name": "stream", "createTime": "2026-01-05T00:00:00Z",
                     "currentState": f"JOB_STATE_{next(self.states[id_])}",
                     "labels": {"run": "stream-0", "run-state": "1"}}  # fmt: skip


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataflow, "LOOK_SECONDS", 0.0)


@pytest.mark.usefixtures("impatient")
def test_an_update_is_waited_for(project: Project) -> None:
    Jobs(project, ["PENDING", "RUNNING", "RUNNING"], ["RUNNING", "RUNNING", "UPDATED"])
    found = dataflow._gone_on(project.params(), replace(LEFT, id="2"), LEFT)
    assert (found.id, found.state, found.run) == ("2", "RUNNING", RUN)


@pytest.mark.usefixtures("impatient")
def test_a_job_that_dataflow_refuses_tells_why(project: Project) -> None:
    Jobs(project, ["PENDING", "FAILED"], ["RUNNING", "RUNNING"])
    with pytest.raises(cluster.NotUpdatedError, match="otros pasos"):
        dataflow._gone_on(project.params(), replace(LEFT, id="2"), LEFT)


def test_of_two_jobs_of_a_name_the_newer_counts(project: Project) -> None:
    found = [{"id": str(day), "name": name, "createTime": f"2026-01-0{day}T00:00:00Z"}
             for day, name in ((1, "stream"), (2, "stream"), (3, "other"))]  # fmt: skip
    project.answers = {"/jobs$": (200, {"jobs": found})}
    job = dataflow.status(project.params(), "stream")
    assert job is not None and job.id == "2"
