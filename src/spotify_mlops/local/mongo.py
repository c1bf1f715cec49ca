"""The MongoDB wire server: mongo-java-server on one H2 file, durable after each write."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from ..errors import ServiceError
from . import cache, jars, ports, state
from .java import java

PORTS = ("server",)
_SOURCE = "MongoWireServer.java"
_JVM = ("-Xmx384m", "-XX:+UseSerialGC")


def addresses(chosen: Mapping[str, int]) -> dict[str, str]:
    """Return what clients need: ``uri``."""
    return {"uri": f"mongodb://{ports.HOST}:{chosen['server']}/?directConnection=true"}


def command(
    chosen: Mapping[str, int], progress: cache.Progress
) -> tuple[list[str], dict[str, str]]:
    """Return argv and environment."""
    classpath = [compiled(progress), *jars.classpath("mongo", progress)]
    argv = [
        str(java()),
        *_JVM,
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp",
        ":".join(str(part) for part in classpath),
        "MongoWireServer",
        str(state.folder("mongo") / "documents.mv"),
        str(chosen["server"]),
    ]
    return argv, {}


def is_ready(chosen: Mapping[str, int]) -> bool:
    """Ping the server."""
    if not ports.listens(chosen["server"]):
        return False
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    client: MongoClient = MongoClient(
        addresses(chosen)["uri"], serverSelectionTimeoutMS=2000, socketTimeoutMS=2000
    )
    try:
        return client.admin.command("ping")["ok"] == 1
    except PyMongoError:
        return False
    finally:
        client.close()


def compiled(progress: cache.Progress = cache.silent) -> Path:
    """Return the folder of the server's class, compiled once: a JRE has no compiler, ecj is one.

    Raises:
        ServiceError: it does not compile.
    """
    source = resources.files(__package__).joinpath(_SOURCE).read_bytes()
    locked = str(sorted((jars.locked_hashes()["mongo"] | jars.locked_hashes()["compiler"]).items()))
    digest = hashlib.sha256(source + locked.encode()).hexdigest()[:16]
    target = cache.folder("mongo") / digest
    if target.is_dir():
        return target
    with cache.locked("mongo", progress), cache.workspace() as work:
        if target.is_dir():
            return target
        progress("Compilando el servidor de MongoDB")
        (work / _SOURCE).write_bytes(source)
        libraries = ":".join(str(jar) for jar in jars.classpath("mongo", progress))
        compiler = ":".join(str(jar) for jar in jars.classpath("compiler", progress))
        done = subprocess.run(
            [
                *(str(java()), "-cp", compiler, "org.eclipse.jdt.internal.compiler.batch.Main"),
                *("-17", "-proc:none", "-cp", libraries, "-d", str(work / "classes")),
                str(work / _SOURCE),
            ],
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise ServiceError(f"El servidor de MongoDB no compila: {done.stdout + done.stderr}")
        cache.publish(work / "classes", target)
    return target
