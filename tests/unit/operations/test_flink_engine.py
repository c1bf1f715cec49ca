"""The streaming job's options on Flink, and what its REST says of jobs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from apache_beam.options.pipeline_options import PortableOptions, StandardOptions

from spotify_mlops.config import params
from spotify_mlops.config.errors import ParamsError, ServiceError
from spotify_mlops.config.params import Params
from spotify_mlops.config.progress import Progress, silent
from spotify_mlops.operations.engines import cluster, flink

ENDS = {
    "flink_rest": "https://jobs.example:8081",
    "flink_job_server": "jobs.example:8099",
    "flink_workers": "127.0.0.1:50000",
}
BEGAN = datetime(2025, 6, 15, 15, 6, 40, 500_000, tzinfo=UTC)


def test_the_options_of_a_job() -> None:
    found = flink.options(params.load("flink", **ENDS, parallelism=3), "spotify")
    assert found.view_as(StandardOptions).streaming
    portable = found.view_as(PortableOptions)
    assert portable.job_endpoint == "jobs.example:8099"
    assert (portable.environment_type, portable.environment_config) == (
        *("EXTERNAL", "127.0.0.1:50000"),
    )
    # Without it rows vanish, and nothing tells.
    assert "--finish_bundle_before_checkpointing" in found._flags
    assert "--parallelism=3" in found._flags and "--job_name=spotify" in found._flags


def test_without_a_cluster_the_user_is_told(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path))
    with pytest.raises(ServiceError, match="«flink-workers» no está en marcha"):
        flink.options(params.load("flink"), "spotify")
    with pytest.raises(ServiceError, match="«flink» no está en marcha"):
        flink.jobs(params.load("flink"))


def test_a_local_cluster_has_a_slot_for_each_part() -> None:
    with pytest.raises(ParamsError, match="parallelism no puede ser mayor que task_managers"):
        params.load("flink", parallelism=3)


def test_the_newest_job_of_a_name_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    told = [
        {"jid": "a", "name": "one", "state": "CANCELED", "start-time": 1},
        {"jid": "b", "name": "one", "state": "RUNNING", "start-time": 1_750_000_000_500},
        {"jid": "c", "name": "two", "state": "FAILED", "start-time": 2},
    ]
    monkeypatch.setattr(flink, "ask", lambda params, path: {"jobs": told})
    settings = params.load("flink", **ENDS)
    assert [job.id for job in flink.jobs(settings)] == ["b", "c", "a"]
    found = flink.status(settings, "one")
    assert found == flink.Job("b", "one", "RUNNING", BEGAN) and not found.is_over
    assert flink.status(settings, "three") is None


def test_cancelling_waits_for_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    states = iter(["RUNNING", "CANCELLING", "CANCELED"])
    asked = []

    def ask(params: Any, path: str, method: str = "GET") -> dict[str, Any]:
        asked.append((method, path))
        if method == "PATCH":
            return {}
        return {"jobs": [{"jid": "a", "name": "one", "state": next(states), "start-time": 1}]}

    monkeypatch.setattr(flink, "ask", ask)
    settings = params.load("flink", **ENDS)
    ended = flink.cancel(settings, flink.Job("a", "one", "RUNNING", BEGAN))
    assert ended.state == "CANCELED"
    assert asked.count(("PATCH", "/jobs/a?mode=cancel")) == 1


def test_a_job_that_nobody_watches_is_ended(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    states = iter(["RUNNING", "CANCELING", "CANCELED", "CANCELED"])
    changes: list[str] = []

    def ask(params: Params, path: str, method: str = "GET") -> dict[str, Any]:
        if method == "PATCH":
            changes.append(path)
            return {}
        name = cluster.stream_name(params)
        return {"jobs": [{"jid": "a", "name": name, "state": next(states), "start-time": 1}]}

    monkeypatch.setattr(flink, "ask", ask)
    told: list[str] = []
    settings = params.load("local", **ENDS)
    for _ in range(2):  # the second time it is over
        cluster.end_unwatched(settings, cluster.stream_name(settings), told.append)
    assert (changes, len(told)) == (["/jobs/a?mode=cancel"], 1)
    # A local cluster that is down has nothing to be asked of.
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path))
    settings = params.load("flink")
    cluster.end_unwatched(settings, cluster.stream_name(settings), told.append)
    assert next(states, None) is None and len(told) == 1


def test_a_job_that_has_too_few_slots_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flink, "_check_server", lambda params: None)
    monkeypatch.setattr(flink, "ask", lambda params, path: {"slots-total": 1})
    with pytest.raises(ServiceError, match="1 huecos y la tarea «one» pide 2"):
        flink.submit(params.load("flink", **ENDS, parallelism=2), "one", lambda pipeline: None)


def test_a_job_that_ends_makes_no_checkpoints() -> None:
    settings = params.load("flink", **ENDS)
    makes = [
        any(flag.startswith("--checkpointing_interval") for flag in found._flags)
        for found in (flink.options(settings, "one", bounded=bounded) for bounded in (False, True))
    ]
    assert makes == [True, False]


def play(monkeypatch: pytest.MonkeyPatch, failures: list[list[str]], end: str) -> list[str]:
    """Play a job that has failed so at each look; return the requests that change something."""
    changes: list[str] = []
    sent: list[flink.Job] = []

    def ask(params: Any, path: str, method: str = "GET") -> dict[str, Any]:
        if method == "PATCH":
            changes.append(path)
        if path.endswith("/exceptions"):
            texts = failures.pop(0) if len(failures) > 1 else failures[0]
            return {"exceptionHistory": {"entries": [{"stacktrace": text} for text in texts]}}
        if not sent:
            return {"jobs": []}
        state = "RUNNING" if len(failures) > 1 and not changes else end
        return {"jobs": [{"jid": "a", "name": "one", "state": state, "start-time": 1}]}

    job = flink.Job("a", "one", "RUNNING", BEGAN)
    monkeypatch.setattr(flink, "submit", lambda *given, **options: sent.append(job) or job)
    monkeypatch.setattr(flink, "ask", ask)
    return changes


def run(is_final: Callable[[str], bool], say: Progress = silent) -> None:
    cluster.run(params.load("flink", **ENDS), "flink", "one", lambda _: None, is_final, say)


def test_a_job_that_begins_again_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, [[], ["one"], ["one"], ["two", "one"], ["two", "one"]], "FINISHED")
    told: list[str] = []
    cluster.run(
        params.load("flink", **ENDS), "flink", "one", lambda _: None, lambda _: False, told.append
    )
    assert len(told) == 2


def test_what_would_fail_again_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = play(monkeypatch, [[], ["torn"], [], []], "CANCELED")
    with pytest.raises(RuntimeError, match="torn"):
        cluster.run(
            params.load("flink", **ENDS),
            "flink",
            "one",
            lambda _: None,
            lambda text: text == "torn",
        )
    assert changes == ["/jobs/a?mode=cancel"]


def test_a_job_that_failed_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, [[], ["no room"], ["no room"]], "FAILED")
    with pytest.raises(RuntimeError, match="no room"):
        run(lambda text: False)
