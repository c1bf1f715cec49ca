"""A Flink cluster of this machine: a job over several processes, exact when they are killed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import flink_steps
import psutil
import pytest
from stored import kill

import pools
from local_services import services
from spotify_mlops.config import params
from spotify_mlops.config.errors import ServiceError
from spotify_mlops.io.http import ports
from spotify_mlops.io.local import processes, state
from spotify_mlops.operations.engines import flink

SOURCES, NUMBERS = 4, 200
PATIENCE = 300.0
NAMES = {"flink", "flink-jobs", "flink-workers", "flink-task-1", "flink-task-2"}


@pytest.fixture(scope="module")
def up_again() -> Iterator[Callable[[], dict[str, state.Record]]]:
    """Start what is missing of a cluster; its last processes end with the module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services, "SERVICES", ())  # a cluster needs none of the others
        yield partial(services.up, task_managers=2)


@pytest.fixture(scope="module")
def records(
    up_again: Callable[[], dict[str, state.Record]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, state.Record]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path_factory.mktemp("flink") / "state"))
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # the workers import the steps
        try:
            yield up_again()
        finally:
            services.down()


@pytest.fixture
def settings() -> params.Params:
    return params.load("flink")


def await_(is_so: Callable[[], object], what: str) -> None:
    """Wait until something that other processes do has happened."""
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not is_so():
        assert time.monotonic() < deadline, what
        pause.wait(0.05)


def let(folder: Path, numbers: int) -> None:
    """Let the sources go on to a number."""
    (folder / "next").write_text(str(numbers))
    (folder / "next").replace(folder / "gate")


def complete(numbers: int) -> dict[str, int]:
    """Return the counts of the windows that are over once the sources gave so many numbers."""
    found = flink_steps.expected(SOURCES, numbers)
    last = numbers if numbers == NUMBERS else (numbers - 1) // flink_steps.WINDOW * 10
    return {name: count for name, count in found.items() if int(name.partition("-")[0]) < last}


def await_counts(folder: Path, numbers: int) -> None:
    wanted = complete(numbers)
    await_(lambda: flink_steps.counts(folder).keys() >= wanted.keys(), f"windows to {numbers}")
    found = flink_steps.counts(folder)
    assert {name: found[name] for name in wanted} == wanted


def test_a_job_is_exact_when_its_processes_are_killed(
    records: dict[str, state.Record],
    up_again: Callable[[], dict[str, state.Record]],
    settings: params.Params,
    tmp_path: Path,
) -> None:
    assert records.keys() == NAMES
    let(tmp_path, 40)
    build = partial(flink_steps.build, folder=tmp_path, sources=SOURCES, numbers=NUMBERS)
    job = flink.submit(settings, "counts", build)
    await_counts(tmp_path, 40)
    pool = records["flink-workers"].pid
    pids = {worker.pid for worker in pools.workers(pool)}
    assert len(pids) >= 2  # one a TaskManager at least
    assert {int(f.name) for f in (tmp_path / "workers").iterdir()} <= pids

    let(tmp_path, 80)
    kill(records["flink-task-1"])
    again = up_again()
    assert again.keys() == NAMES
    # Where it was the JobManager still calls, and the two would miss each other.
    assert not {*again["flink-task-1"].ports.values()} & {*records["flink-task-1"].ports.values()}
    await_counts(tmp_path, 80)

    let(tmp_path, 120)
    known = {worker.pid for worker in pools.workers(pool)}
    last = max((tmp_path / "workers").iterdir(), key=lambda file: file.stat().st_mtime_ns)
    psutil.Process(int(last.name)).kill()
    await_(lambda: {w.pid for w in pools.workers(pool)} - known, "another worker")
    await_counts(tmp_path, 120)

    let(tmp_path, 160)
    kill(records["flink-workers"])  # and its workers end with it
    up_again()
    kill(state.get("flink-jobs"))  # which a job that runs does not need
    await_counts(tmp_path, 160)

    let(tmp_path, NUMBERS)
    await_counts(tmp_path, NUMBERS)
    assert flink_steps.counts(tmp_path) == flink_steps.expected(SOURCES, NUMBERS)
    running = flink.status(settings, "counts")
    assert running is not None and running.id == job.id
    assert flink.cancel(settings, running).is_over


def test_a_dead_job_manager_is_told_and_a_job_begins_again(
    records: dict[str, state.Record],
    up_again: Callable[[], dict[str, state.Record]],
    settings: params.Params,
    tmp_path: Path,
) -> None:
    up_again()
    kill(state.get("flink"))
    with pytest.raises(ServiceError, match="Flink no responde"):
        flink.jobs(settings)
    assert {s.name: s.state for s in services.status()}["flink"] == "crashed"
    up_again()
    let(tmp_path, 20)
    build = partial(flink_steps.build, folder=tmp_path, sources=SOURCES, numbers=20)
    job = flink.submit(settings, "again", build)
    await_counts(tmp_path, 11)
    assert flink.cancel(settings, job).is_over


def listening(process: psutil.Process) -> set[tuple[str, int]]:
    return {
        (connection.laddr.ip.removeprefix("::ffff:"), connection.laddr.port)
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }


def test_it_listens_on_loopback_alone(records: dict[str, state.Record]) -> None:
    found = {
        name: listening(psutil.Process(record.pid))
        for name, record in state.read().items()
        if record.pid is not None
    }
    assert found.keys() == NAMES and all(found.values())
    assert {host for sockets in found.values() for host, _ in sockets} == {"127.0.0.1"}


NOBODY = 65534
ASK = """
import encodings.idna, os, socket, ssl, sys
import grpc
grpc.insecure_channel("127.0.0.1:1").close()  # imports the rest, as another user cannot
if sys.argv[1]:
    os.setuid(int(sys.argv[1]))
anybody = ssl.create_default_context()
anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
for port in sys.argv[3:]:
    said = set()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for method in sys.argv[2].split():
            try:
                channel.unary_unary(method)(b"", timeout=30)
                said.add("OK")
            except grpc.RpcError as error:
                said.add(error.code().name)
    try:
        with socket.create_connection(("127.0.0.1", int(port)), 30) as plain:
            with anybody.wrap_socket(plain) as connection:
                connection.sendall(b"GET /jobs/overview HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n")
                answer = connection.recv(100)
    except OSError:  # of TLS too
        answer = b""
    print(port, ",".join(sorted(said)), answer)
"""
"""Asks each port as a user for what Beam has there, and over TLS without a key for Flink's jobs."""
_BEAM = "/org.apache.beam.model"
CALLS = [
    f"{_BEAM}.job_management.v1.JobService/GetJobs",
    f"{_BEAM}.job_management.v1.ArtifactRetrievalService/ResolveArtifacts",
    f"{_BEAM}.expansion.v1.ExpansionService/DiscoverSchemaTransform",
    f"{_BEAM}.fn_execution.v1.ProvisionService/GetProvisionInfo",
    f"{_BEAM}.fn_execution.v1.BeamFnExternalWorkerPool/StopWorker",
]
STREAMS = [
    f"{_BEAM}.job_management.v1.ArtifactStagingService/ReverseArtifactRetrievalService",
    f"{_BEAM}.fn_execution.v1.BeamFnControl/Control",
    f"{_BEAM}.fn_execution.v1.BeamFnData/Data",
    f"{_BEAM}.fn_execution.v1.BeamFnState/State",
    f"{_BEAM}.fn_execution.v1.BeamFnLogging/Logging",
]


def asked(user: str, methods: list[str], taken: list[int]) -> dict[int, tuple[set[str], str]]:
    done = subprocess.run(
        [sys.executable, "-c", ASK, user, " ".join(methods), *map(str, taken)],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    lines = (line.split(maxsplit=2) for line in done.stdout.splitlines())
    return {int(port): (set(said.split(",")), answer) for port, said, answer in lines}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="needs Linux's tables of sockets")
def test_nobody_else_is_answered(
    records: dict[str, state.Record], settings: params.Params, tmp_path: Path
) -> None:
    let(tmp_path, 20)
    build = partial(flink_steps.build, folder=tmp_path, sources=SOURCES, numbers=NUMBERS)
    job = flink.submit(settings, "watched", build)
    await_counts(tmp_path, 20)  # its TaskManagers listen for workers
    alive = [record for record in state.read().values() if record.pid is not None]
    taken = [port for r in alive for _, port in listening(psutil.Process(r.pid))]
    others = asked(str(NOBODY), CALLS + STREAMS, taken)
    assert others.keys() == set(taken)
    assert {answer for _, answer in others.values()} == {"b''"}
    # No such method here; not for you; not without TLS.
    known = {"UNIMPLEMENTED", "PERMISSION_DENIED", "UNAVAILABLE"}
    assert {word for said, _ in others.values() for word in said} == known
    # Each of Beam's servers has a method of these: it refuses it, and answers its owner.
    beams = {port for port, (said, _) in others.items() if "UNIMPLEMENTED" in said}
    assert all("PERMISSION_DENIED" in others[port][0] for port in beams)
    own = asked("", CALLS, taken)
    assert {answer for _, answer in own.values()} == {"b''"}
    # The jobs', the expansions', the pool's, and where each TaskManager tells of a job.
    assert sum("OK" in said for said, _ in own.values()) == 5
    assert not any("PERMISSION_DENIED" in said for said, _ in own.values())
    flink.cancel(settings, job)


def test_down_leaves_nothing(records: dict[str, state.Record]) -> None:
    owner = str(state.folder().resolve())
    services.down()
    left = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(processes.OWNER) == owner:
                left.append(process.cmdline())
        except psutil.Error:
            continue
    assert left == []
    taken = [port for record in state.read().values() for port in record.ports.values()]
    assert [port for port in taken if not ports.is_free(port)] == []
