"""The processes of the cluster, as ``services`` starts and asks them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from spotify_mlops.config.errors import ServiceError
from spotify_mlops.config.progress import Progress, silent
from spotify_mlops.io.flink import JOB_MANAGER, JOB_SERVER, WORKERS
from spotify_mlops.io.http import ports
from spotify_mlops.io.local import environment, state

from .. import compiling, jars
from ..java import LOG_SOURCE, java, with_small_log
from ..service import Service
from . import settings
from .asking import call, rest

_TASK_MANAGER = "flink-task-"
_OWNERS_SERVERS = "OwnersServers"
_STOP_WORKER = "/org.apache.beam.model.fn_execution.v1.BeamFnExternalWorkerPool/StopWorker"
_GET_JOBS = "/org.apache.beam.model.job_management.v1.JobService/GetJobs"


def parts(task_managers: int) -> tuple[Service, ...]:
    """Return the processes of a cluster with so many TaskManagers, and slots."""
    numbered = (f"{_TASK_MANAGER}{number + 1}" for number in range(task_managers))
    return (*_CENTRAL, *(_task_manager(name) for name in numbered))


def part(name: str) -> Service | None:
    """Return the process of that name; None when it is none of a cluster's."""
    if name.startswith(_TASK_MANAGER):
        return _task_manager(name)
    return next((service for service in _CENTRAL if service.name == name), None)


def classpath(progress: Progress = silent) -> list[Path]:
    """Return what the cluster runs from, fetched and compiled once."""
    sources = (f"{_OWNERS_SERVERS}.java", "GcsOptions.java", LOG_SOURCE)
    classes = compiling.compiled("flink", *sources, progress=progress)
    return [classes, *jars.classpath("flink", progress)]


def _home() -> Path:
    return state.folder("flink").resolve()


def _java(options: tuple[str, ...], progress: Progress, *main: str) -> list[str]:
    return [
        *(str(java()), *settings.JVM, *options),
        f"-Dlog4j2.configurationFile={settings.log4j(_home())}",
        *("-cp", ":".join(str(part) for part in classpath(progress))),
        *with_small_log(*main),
    ]


def _known() -> dict[str, int]:
    """Return the ports of the JobManager, which the others are told.

    Raises:
        ServiceError: it was never started.
    """
    record = state.get(JOB_MANAGER)
    if record is None:
        raise ServiceError("El JobManager de Flink no está en marcha: «spotify-mlops up».")
    return record.ports


def _job_manager(chosen: Mapping[str, int], progress: Progress) -> tuple[list[str], dict[str, str]]:
    home = _home()
    # No job outlives its JobManager: it is submitted again, and the log says from where.
    for leftover in ("checkpoints", "tmp"):
        shutil.rmtree(home / leftover, ignore_errors=True)
    settings.write_log4j(home)
    folder = home / JOB_MANAGER
    settings.write(folder, settings.job_manager(home, chosen))
    main = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
    argv = _java(settings.CONTROL_JVM, progress, main, "--configDir", str(folder))
    return argv, {}


def _tasks(
    name: str, chosen: Mapping[str, int], progress: Progress
) -> tuple[list[str], dict[str, str]]:
    home = _home()
    folder = home / name
    shutil.rmtree(home / "tmp" / name, ignore_errors=True)
    content = settings.job_manager(home, _known()) | settings.task_manager(home, chosen, name)
    settings.write(folder, content)
    main = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
    arguments = (_OWNERS_SERVERS, main, "--configDir", str(folder))
    return _java(settings.TASK_JVM, progress, *arguments), {}


def _job_server(chosen: Mapping[str, int], progress: Progress) -> tuple[list[str], dict[str, str]]:
    home = _home()
    folder = home / JOB_SERVER
    artifacts = folder / "artifacts"
    shutil.rmtree(artifacts, ignore_errors=True)
    artifacts.mkdir(parents=True)
    settings.write(folder, settings.job_manager(home, _known()))
    arguments = (
        *(_OWNERS_SERVERS, "org.apache.beam.runners.flink.FlinkJobServerDriver"),
        f"--flink-master={ports.HOST}:{_known()['rest']}",
        f"--flink-conf-dir={folder}",
        f"--job-host={ports.HOST}",
        *(f"--job-port={chosen['jobs']}", f"--artifact-port={chosen['artifacts']}"),
        *(f"--expansion-port={chosen['expansion']}", f"--artifacts-dir={artifacts}"),
    )
    return _java(settings.CONTROL_JVM, progress, *arguments), {}


def _pool(chosen: Mapping[str, int], progress: Progress) -> tuple[list[str], dict[str, str]]:
    argv = [sys.executable, "-m", "local_services.flink.pool", str(chosen["pool"])]
    return argv, environment.outbound()  # the archive may be in a bucket, the log in a cloud


def _is_registered(name: str, chosen: Mapping[str, int]) -> bool:
    central = state.get(JOB_MANAGER)
    if central is None:
        return False
    found = rest(central.ports["rest"], "/taskmanagers").get("taskmanagers", [])
    own = [t for t in found if t["id"] == name and t["dataPort"] == chosen["data"]]
    return any(t["slotsNumber"] for t in own)  # which it tells of after it is known


def _task_manager(name: str) -> Service:
    return Service(
        name,
        f"Flink TaskManager {name.removeprefix(_TASK_MANAGER)}",
        ("rpc", "data"),
        partial(_tasks, name),
        partial(_is_registered, name),
        lambda chosen: {},
        after=(JOB_MANAGER,),
        # Until it misses the one that was killed, the JobManager calls it: where that call crosses
        # the new one's, Pekko leaves an association that is never read, and it never registers.
        keeps_ports=False,
    )


_CENTRAL = (
    Service(
        JOB_MANAGER,
        "Apache Flink (JobManager)",
        ("rest", "rpc", "blob"),
        _job_manager,
        lambda chosen: "taskmanagers" in rest(chosen["rest"], "/taskmanagers"),
        lambda chosen: {"rest": f"https://{ports.HOST}:{chosen['rest']}"},
    ),
    Service(
        JOB_SERVER,
        "Beam para Flink",
        ("jobs", "artifacts", "expansion"),
        _job_server,
        lambda chosen: call(chosen["jobs"], _GET_JOBS),
        lambda chosen: {"jobs": f"{ports.HOST}:{chosen['jobs']}"},
        after=(JOB_MANAGER,),
    ),
    Service(
        WORKERS,
        "Trabajadores de Python para Flink",
        ("pool",),
        _pool,
        lambda chosen: call(chosen["pool"], _STOP_WORKER),
        lambda chosen: {"pool": f"{ports.HOST}:{chosen['pool']}"},
    ),
)
