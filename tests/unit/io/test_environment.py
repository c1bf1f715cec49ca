"""A process that the project starts has what it needs of the environment, and nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_services.vertex import containers
from spotify_mlops.config import paths
from spotify_mlops.config.params import load
from spotify_mlops.io.local import processes, state
from spotify_mlops.operations import apps
from spotify_mlops.operations.engines import prism

TELL = (
    "import json, os, pathlib, sys; "
    "pathlib.Path(sys.argv[1]).write_text(json.dumps({**os.environ}))"
)
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "p1",
    "KAFKA_PASSWORD": "p2",
    "MONGO_URI": "mongodb://u:p3@h",
    "SPOTIFY_MLOPS_KAFKA_PASSWORD": "p4",
    "GITHUB_TOKEN": "p5",
}


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    yield
    for record in state.read().values():
        processes.stop(record)


def test_a_started_process_has_no_secret(tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    record = processes.start(
        "told",
        [sys.executable, "-c", f"{TELL}; import signal; signal.pause()", told],
        env={"GIVEN": "1"},
        ready=lambda: told.exists() and told.read_text().endswith("}"),
    )
    assert processes.is_alive(record)
    found = json.loads(told.read_text())
    assert found["GIVEN"] == "1"
    assert found["SPOTIFY_MLOPS_STATE"] == str(paths.state_dir())
    assert {"PATH", "HOME", processes.OWNER} <= found.keys()
    assert not (SECRETS.keys() | {"HTTPS_PROXY"}) & found.keys()


def test_a_container_has_the_way_out_and_no_secret(tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    launch = containers.Launch((sys.executable, "-c", TELL, str(told)), {"A": "1"}, tmp_path / "l")

    async def run() -> int:
        return await (await containers.start(launch)).wait()

    assert asyncio.run(run()) == 0
    found = json.loads(told.read_text())
    assert (found["A"], found["HTTPS_PROXY"]) == ("1", "http://127.0.0.1:9")
    assert not SECRETS.keys() & found.keys()


def test_each_process_that_stays_is_given_the_secrets_it_uses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: dict[str, dict[str, str]] = {}

    def start(name: str, argv: list[str], *, env: dict[str, str], **_: object) -> state.Record:
        given[name] = env
        assert not any(secret in " ".join(argv) for secret in SECRETS.values())
        return state.Record(name, addresses={"url": ""})

    monkeypatch.setattr(processes, "start", start)
    monkeypatch.delenv("SPOTIFY_MLOPS_KAFKA_PASSWORD")
    params = load("local", mongo_uri="env:MONGO_URI")
    for begin in (apps.start_stream, apps.start_simulator, apps.start_observer,
                  apps.start_dashboard):  # fmt: skip
        begin(params)
    assert {name: set(env) & SECRETS.keys() for name, env in given.items()} == {
        "stream": {"KAFKA_PASSWORD", "MONGO_URI"},
        "simulator": {"KAFKA_PASSWORD"},
        "observer": set(),
        "dashboard": set(),
    }
    assert all("HTTPS_PROXY" in env for env in given.values())


def test_prism_is_started_without_the_environment_of_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "prism"
    program.write_text('#!/bin/sh\necho "$@"\nps -o sid= -p $$\nenv\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(prism.tools, "prism", lambda: program)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv(processes.OWNER, "us")
    command, endpoint = prism._LoopbackPrism(prism.options()).subprocess_cmd_and_endpoint()
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
    arguments, session, *variables = done.stdout.splitlines()
    assert arguments.split()[:2] == ["--job_port", endpoint.rpartition(":")[2]]
    assert arguments.split()[-1] == "--idle_shutdown_timeout=60s"
    assert int(session) != os.getsid(0)
    names = {line.partition("=")[0] for line in variables}
    assert {"PATH", "HOME", "TMPDIR", processes.OWNER} <= names
    assert not SECRETS.keys() & names
