"""Secrets that a user gives are in no file, no report, no command line, and few environments.

The secrets are real: the local Kafka and MongoDB are used as somebody else's would be, by address,
with user and password from the environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import worlds
import yaml

import commands
from spotify_mlops.config import params, paths
from spotify_mlops.config.params import Params
from spotify_mlops.io.kafka import clients as kafka
from spotify_mlops.io.local import processes, state
from spotify_mlops.io.mongo import clients as mongo
from spotify_mlops.operations import apps

PLANTED = f"Pl4nted-{uuid.uuid4().hex}"
SERVERS_OWN = {"secret", "kafka/server.properties"}
"""Files of the state folder that hold a local server's own password (0600)."""


@dataclass(frozen=True)
class Given:
    """What a user has in the environment, and a params file that refers to it."""

    secrets: dict[str, bytes]
    home: Path
    file: Path

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return commands.run(
            [*arguments, "--params", self.file], timeout=300, environment=os.environ | environment
        )

    @property
    def params(self) -> Params:
        return params.load(self.file)

    def found_in(self, content: bytes) -> list[str]:
        return [name for name, value in self.secrets.items() if value in content]


@pytest.fixture(scope="module")
def given(
    services: dict[str, state.Record], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Given]:
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(paths.root() / "notebooks", home / "notebooks")
    (home / "params").mkdir()
    unique = f"test-{uuid.uuid4().hex[:10]}"
    broker, documents = kafka.owner_settings(), mongo.owner_settings()
    host = services["mongo"].addresses["uri"].removeprefix("mongodb://")
    uri = f"mongodb://{documents['username']}:{documents['password']}@{host}"
    own: dict[str, Any] = {
        "profile": unique,
        "topic": unique,
        "dataset": unique.replace("-", "_"),
        "mongo_database": unique.replace("-", "_"),
        "kafka_bootstrap": services["kafka"].addresses["bootstrap"],
        "kafka_security_protocol": broker["security.protocol"],
        "kafka_sasl_mechanism": broker["sasl.mechanism"],
        "mongo_uri": "env:MONGO_URI",
    }
    file = home / "params" / f"{unique}.yaml"
    file.write_text(yaml.safe_dump(params.nested(worlds.SMALL | own)), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SPOTIFY_MLOPS_HOME", str(home))
        patched.setenv("KAFKA_USERNAME", broker["sasl.username"])
        patched.setenv("KAFKA_PASSWORD", broker["sasl.password"])
        patched.setenv("MONGO_URI", f"{uri}&authMechanism={documents['authMechanism']}")
        patched.setenv("AWS_SECRET_ACCESS_KEY", PLANTED)
        secrets = {
            "kafka": broker["sasl.password"].encode(),
            "mongo": documents["password"].encode(),
            "planted": PLANTED.encode(),
        }
        try:
            yield Given(secrets, home, file)
        finally:
            apps.stop_apps()
            if record := state.get("dashboard"):
                processes.stop(record)


@pytest.fixture(scope="module")
def used(given: Given) -> Given:
    """Run commands that use the secrets, some that fail, and processes that stay."""
    told = ""
    for arguments in (
        ("ingest", "simulator"),
        ("stream", "--until-caught-up"),
        ("audit",),
        ("dead-letters", "list"),
        ("notebooks", "--only", "1"),
    ):
        done = given.run(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        told += done.stdout + done.stderr
    wrong = os.environ["MONGO_URI"].replace("owner:", f"owner:{PLANTED}")
    stream: tuple[str, ...] = ("stream", "--until-caught-up")
    failing: list[tuple[int, tuple[str, ...], dict[str, str]]] = [
        (4, stream, {"MONGO_URI": wrong}),
        (4, stream, {"KAFKA_PASSWORD": PLANTED}),
        (2, stream, {"SPOTIFY_MLOPS_KAFKA_PASSWORD": PLANTED}),
        (2, stream, {"SPOTIFY_MLOPS_MONGO_URI": wrong}),
    ]
    for setting in (f"kafka_password={PLANTED}", f"mongo_uri={wrong}", f"topic: {PLANTED}"):
        failing.append((2, ("audit", "--set", setting), {}))
    with ThreadPoolExecutor(len(failing)) as pool:
        ends = list(pool.map(lambda case: given.run(*case[1], **case[2]), failing))
    for (status, arguments, _), done in zip(failing, ends, strict=True):
        assert done.returncode == status, f"{arguments}: {done.stderr}"
        told += done.stdout + done.stderr
    assert given.found_in(told.encode()) == []
    apps.start_stream(given.params)
    apps.start_dashboard(given.params)
    return given


def test_no_file_has_them(used: Given) -> None:
    looked_at = 0
    for folder in (paths.state_dir(), used.home):
        for path in folder.rglob("*"):
            if path.relative_to(folder).as_posix() in SERVERS_OWN or not path.is_file():
                continue
            try:
                content = path.read_bytes()
            except FileNotFoundError:  # servers and job go on working
                continue
            assert used.found_in(content) == [], path
            looked_at += 1
    assert looked_at > 50
    executed = list((used.home / "reports").rglob("*.ipynb"))
    assert len(executed) == 1
    written = yaml.safe_load((paths.state_dir() / "run" / used.file.name).read_text())
    assert written["mongo"]["uri"] == "env:MONGO_URI"


def test_no_command_line_has_them(used: Given) -> None:
    for process in psutil.process_iter():
        try:
            line = "\0".join(process.cmdline()).encode()
        except psutil.Error:
            continue
        assert used.found_in(line) == [], process


def test_only_the_process_that_uses_one_has_it(used: Given) -> None:
    stream = state.get(apps.STREAM)
    assert stream is not None
    having: dict[str, set[int]] = {name: set() for name in used.secrets}
    mine = 0
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue
        if process.pid == os.getpid() or environment.get(processes.OWNER) != str(
            paths.state_dir().resolve()
        ):
            continue
        mine += 1
        for name in used.found_in("\0".join(environment.values()).encode()):
            having[name].add(process.pid)
    servers = state.read()
    assert mine >= sum(processes.is_alive(record) for record in servers.values())
    assert having == {
        "kafka": {stream.pid},
        "mongo": {stream.pid, servers["mongo"].pid},
        "planted": set(),
    }
    # Prism is below the streaming job.
    assert psutil.Process(stream.pid).children(recursive=True)
