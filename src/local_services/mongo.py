"""The MongoDB wire server: mongo-java-server on one H2 file, durable after each write.

It answers its owner alone, by SCRAM-SHA-256 with the state directory's secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from spotify_mlops.config.errors import one_line
from spotify_mlops.config.progress import Progress, silent
from spotify_mlops.io.http import ports
from spotify_mlops.io.local import health, secret, state
from spotify_mlops.io.mongo.clients import OWNER, owner_settings

from . import compiling, jars
from .java import LOG_SOURCE, java, with_small_log

PORTS = ("server",)
_SOURCES = ("MongoWireServer.java", "ScramSha256.java", LOG_SOURCE)
_JVM = ("-Xmx384m", "-XX:+UseSerialGC")


def addresses(chosen: Mapping[str, int]) -> dict[str, str]:
    """Return what clients need: ``uri``."""
    return {"uri": f"mongodb://{ports.HOST}:{chosen['server']}/?directConnection=true"}


def classpath(progress: Progress = silent) -> list[Path]:
    """Return what the server runs from, fetched and compiled once."""
    classes = compiling.compiled("mongo", *_SOURCES, progress=progress)
    return [classes, *jars.classpath("mongo", progress)]


def command(chosen: Mapping[str, int], progress: Progress) -> tuple[list[str], dict[str, str]]:
    """Return argv and environment."""
    argv = [
        str(java()),
        *_JVM,
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp",
        ":".join(str(part) for part in classpath(progress)),
        *with_small_log(
            "MongoWireServer",
            str(state.folder("mongo") / "documents.mv"),
            str(chosen["server"]),
            OWNER,
        ),
    ]
    return argv, {"MONGO_PASSWORD": secret.key("mongo")}


def is_ready(chosen: Mapping[str, int]) -> bool:
    """Write a document of the server's own database and read it.

    Raises:
        BrokenError: the server refuses.
    """
    if not ports.listens(chosen["server"]):
        return False
    from pymongo import MongoClient
    from pymongo.errors import OperationFailure, PyMongoError

    client: MongoClient = MongoClient(
        addresses(chosen)["uri"],
        serverSelectionTimeoutMS=2000,
        socketTimeoutMS=2000,
        **owner_settings(),
    )
    probes = client["health"]["probes"]
    try:
        written = probes.find_one_and_update(
            {"_id": "last"}, {"$inc": {"number": 1}}, upsert=True, return_document=True
        )
        # Somebody else may have asked meanwhile.
        found = probes.find_one({"_id": "last"})
        return bool(found and written and found["number"] >= written["number"])
    except OperationFailure as error:
        raise health.BrokenError(one_line(error, 200)) from error
    except PyMongoError:
        return False
    finally:
        client.close()
