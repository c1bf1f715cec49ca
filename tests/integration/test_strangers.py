"""Nobody but the owner of the state directory is answered by its servers."""

from __future__ import annotations

import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import strangers
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient
from worlds import command, make

from spotify_mlops.config import params
from spotify_mlops.io import kafka
from spotify_mlops.io.local import secret, state
from spotify_mlops.operations import apps

Records = dict[str, state.Record]
Asked = dict[str, str]
PORTS = {
    ("kafka", "broker"): "kafka",
    ("kafka", "controller"): "kafka",
    ("mongo", "server"): "mongo",
}


def ports_of(records: Records) -> Asked:
    return {
        str(record.ports[port]): kind
        for (name, port), kind in PORTS.items()
        if (record := records[name])
    }


def test_kafka_and_mongo_refuse_who_has_no_secret(services: Records) -> None:
    ports = ports_of(services)
    assert strangers.ask(ports) == dict.fromkeys(ports, "refused")


@pytest.mark.parametrize("port", ["broker", "controller"])
def test_kafka_refuses_a_wrong_password(services: Records, port: str) -> None:
    told: list[KafkaError] = []
    client = AdminClient(
        kafka.client_config(params.load("local"))
        | {
            "bootstrap.servers": f"127.0.0.1:{services['kafka'].ports[port]}",
            "sasl.password": secret.key("mongo"),
            "error_cb": told.append,
        }
    )
    while not told:
        client.poll(30)
    assert KafkaError._AUTHENTICATION in {error.code() for error in told}


def test_no_secret_is_on_a_command_line_or_in_a_log(services: Records) -> None:
    keys = [secret.key(purpose) for purpose in ("kafka", "mongo")]
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        assert not any(key in line for key in keys)
    folder = Path(state.folder())
    for file in (folder / "state.json", *folder.glob("logs/*")):
        assert not any(key in file.read_text(errors="replace") for key in keys)
    readers = [f for f in folder.rglob("*") if f.is_file() and _holds(f, keys)]
    assert [f.name for f in readers] == ["server.properties"]
    assert readers[0].stat().st_mode & 0o777 == 0o600


def _holds(file: Path, keys: list[str]) -> bool:
    content = file.read_bytes()
    return any(key.encode() in content for key in keys)


def _modes(folder: Path) -> dict[Path, int]:
    """Return the modes of what is in it; a broker at work replaces its files."""
    found = {}
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if not stat.S_ISLNK(mode := file.lstat().st_mode):
                found[file] = mode
    return found


def test_nobody_else_can_read_what_is_in_the_state_directory(own_state: Path) -> None:
    settings = make(simulator_events=2_000)
    up = [sys.executable, "-m", "spotify_mlops", "up"]
    subprocess.run(up, check=True, capture_output=True, timeout=120)
    for arguments in (["ingest", "simulator"], ["stream", "--until-caught-up"], ["status"]):
        done = command(settings, *arguments)
        assert done.returncode == 0, done.stderr
    modes = _modes(own_state)
    names = {file.name for file in modes}
    assert {"server.properties", "kafka.log", "documents.mv", "bqemulator.duckdb"} <= names
    assert any(name.endswith(".parquet") for name in names)
    written_here = {apps.params_file(settings), own_state / "run"}  # not by the command line
    assert {file for file, mode in modes.items() if mode & 0o077} <= written_here
    assert own_state.stat().st_mode & 0o777 == 0o700
