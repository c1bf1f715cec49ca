"""What the virtual machines of the cluster are told: memory, ports, Flink's own settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from spotify_mlops.io import files
from spotify_mlops.io.http import ports

from .. import java
from . import keys

_OPENED = (
    *("lang", "net", "io", "nio", "lang.reflect", "text", "time", "util"),
    *("util.concurrent", "util.concurrent.atomic", "util.concurrent.locks"),
)
JVM = (
    "-XX:+UseSerialGC",
    "--add-exports=java.base/sun.net.util=ALL-UNNAMED",
    "--add-exports=java.management/sun.management=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    *(f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in _OPENED),
    # Netty and the JVM may use Unsafe and native code without a warning a process.
    "--enable-native-access=ALL-UNNAMED",
)
"""What Flink and Beam reach into, as Flink's own scripts allow it."""
CONTROL_JVM = ("-Xmx256m", "-XX:MaxMetaspaceSize=160m", "-XX:TieredStopAtLevel=1")
"""Of those that see no record: the JobManager, the job server."""
TASK_JVM = ("-Xms128m", "-Xmx628m", "-XX:MaxDirectMemorySize=256m", "-XX:MaxMetaspaceSize=256m")
_INFORMATIVE = (
    "org.apache.flink.runtime.executiongraph",
    "org.apache.flink.runtime.resourcemanager",
)
"""The loggers that say where jobs and TaskManagers are."""


def job_manager(home: Path, chosen: Mapping[str, int]) -> dict[str, object]:
    """Return the settings of the JobManager, which are also those that all know it by."""
    return {
        "jobmanager.rpc.address": ports.HOST,
        "jobmanager.bind-host": ports.HOST,
        "jobmanager.rpc.port": chosen["rpc"],
        "blob.server.port": chosen["blob"],
        "rest.address": ports.HOST,
        "rest.bind-address": ports.HOST,
        "rest.port": chosen["rest"],
        "rest.bind-port": str(chosen["rest"]),
        "web.submit.enable": False,
        "io.tmp.dirs": str(home / "tmp"),
        "state.backend.type": "hashmap",
        "state.checkpoint-storage": "filesystem",
        "state.checkpoints.dir": (home / "checkpoints").as_uri(),
        # A part that was killed is missed soon, and not when it is busy.
        "heartbeat.interval": 2000,
        "heartbeat.timeout": 30_000,
        # A job waits for what `up` starts again, and gives up when its own steps fail each time.
        "restart-strategy.type": "failure-rate",
        "restart-strategy.failure-rate.delay": "3 s",
        "restart-strategy.failure-rate.failure-rate-interval": "5 min",
        "restart-strategy.failure-rate.max-failures-per-interval": 20,
        # Jobs find Beam's classes here, as `OwnersServers` has left them, and bring none.
        "classloader.resolve-order": "parent-first",
        "jobstore.max-capacity": 50,
        **keys.settings(),
    }


def task_manager(home: Path, chosen: Mapping[str, int], name: str) -> dict[str, object]:
    """Return what a TaskManager has besides: one slot, since two in one take all the work."""
    return {
        "taskmanager.host": ports.HOST,
        "taskmanager.bind-host": ports.HOST,
        "taskmanager.rpc.port": str(chosen["rpc"]),
        "taskmanager.data.port": chosen["data"],
        "taskmanager.resource-id": name,
        "taskmanager.numberOfTaskSlots": 1,
        "taskmanager.cpu.cores": 1.0,
        "taskmanager.memory.framework.heap.size": "128m",
        "taskmanager.memory.task.heap.size": "500m",
        "taskmanager.memory.framework.off-heap.size": "64m",
        "taskmanager.memory.task.off-heap.size": "0m",
        "taskmanager.memory.network.min": "64m",
        "taskmanager.memory.network.max": "64m",
        "taskmanager.memory.managed.size": "64m",
        "taskmanager.memory.jvm-metaspace.size": "256m",
        "taskmanager.memory.jvm-overhead.min": "64m",
        "taskmanager.memory.jvm-overhead.max": "64m",
        "io.tmp.dirs": str(home / "tmp" / name),
    }


def write(folder: Path, settings: Mapping[str, object]) -> None:
    """Write a configuration folder; its owner alone may read it (it has the keys' password)."""
    folder.mkdir(parents=True, exist_ok=True)
    content = "".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items())
    files.replace(folder / "config.yaml", content.encode(), 0o600)


def log4j(home: Path) -> Path:
    """Return the file that says how all of them log; the JobManager, the first, has it written."""
    return home / "log4j2.properties"


def write_log4j(home: Path) -> None:
    """Write that file."""
    files.replace(log4j(home), java.log4j(*_INFORMATIVE).encode(), 0o600)
