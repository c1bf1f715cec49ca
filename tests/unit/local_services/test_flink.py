"""The parts of a Flink cluster: what they are told, in which order, and with which key."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import yaml

from local_services import services
from local_services.flink import cluster, keys, settings
from spotify_mlops.io.local import secret, state, tls


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def test_the_parts_of_a_cluster() -> None:
    names = [part.name for part in cluster.parts(3)]
    assert names == [
        *("flink", "flink-jobs", "flink-workers"),
        *("flink-task-1", "flink-task-2", "flink-task-3"),
    ]
    for name in names:
        found = cluster.part(name)
        assert found is not None and found.name == name
    assert cluster.part("kafka") is None


def test_a_cluster_is_started_only_when_asked_for_or_fallen() -> None:
    base = {service.name for service in services.SERVICES}
    assert {service.name for service in services._wanted(0, False)} == base
    asked = [service.name for service in services._wanted(2, False)]
    assert set(asked) - base == {part.name for part in cluster.parts(2)}
    for service in services._wanted(2, False):  # who is waited for comes before who waits
        assert all(asked.index(name) < asked.index(service.name) for name in service.after)
    with_dataflow = {service.name for service in services._wanted(2, True)}
    assert with_dataflow - set(asked) == {"dataflow"}
    state.put(state.Record("flink-task-1", kind="service", pid=1), state.Record("flink-task-2"))
    assert {service.name for service in services._wanted(0, False)} - base == {"flink-task-1"}
    state.put(state.Record("dataflow", kind="service", pid=1))
    fallen = {service.name for service in services._wanted(0, False)}
    assert fallen - base == {"flink-task-1", "dataflow"}


def test_everything_is_told_to_listen_on_loopback(own_state: Path) -> None:
    central = settings.job_manager(own_state, {"rest": 1, "rpc": 2, "blob": 3})
    tasks = settings.task_manager(own_state, {"rpc": 4, "data": 5}, "flink-task-1")
    hosts = {key: v for key, v in (central | tasks).items() if "host" in key or "address" in key}
    assert len(hosts) == 6 and set(hosts.values()) == {"127.0.0.1"}
    folder = own_state / "conf"
    settings.write(folder, central | tasks)
    file = folder / "config.yaml"
    assert file.stat().st_mode & 0o777 == 0o600  # it has the password of the key
    assert yaml.safe_load(file.read_text()) == central | tasks


def test_the_key_is_made_once_and_is_its_owners_alone(own_state: Path) -> None:
    found = keys.settings()
    assert found["security.ssl.internal.enabled"] is found["security.ssl.rest.enabled"] is True
    assert found["security.ssl.rest.authentication-enabled"] is True
    made = [*tls.files(), Path(str(found["security.ssl.rest.keystore"]))]
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in made)
    assert secret.key("flink").encode() not in made[0].read_bytes()
    before = [file.read_bytes() for file in made]
    assert keys.settings() == found
    assert [file.read_bytes() for file in made] == before
    (own_state / secret.FILE).unlink()  # as its owner does when somebody may know it
    assert keys.settings() != found
    assert made[0].read_bytes() != before[0]
    context = tls.context()
    assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname
