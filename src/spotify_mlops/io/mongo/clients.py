"""MongoDB's official client. Nothing else in the project makes one."""

from __future__ import annotations

import functools
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ...config import secrets
from ...config.params import Params
from ...config.references import LOCAL
from ..addresses import PING_SECONDS, address, unreachable
from ..local import secret

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.database import Database

OWNER = "owner"
"""The local server's one user."""


def client(params: Params) -> MongoClient[dict[str, Any]]:
    """Return the MongoDB client (times as aware UTC); one for each process and address.

    It waits for an answer as long as a sink may take, and no longer.
    """
    patience = params.stream.sink_deadline // timedelta(milliseconds=1)
    uri = address(secrets.resolve(params, "mongo_uri"), "mongo", "uri")
    user = owner_settings() if params.mongo.uri == LOCAL else {}
    return _client(uri, patience, os.getpid(), **user)


def database(params: Params) -> Database[dict[str, Any]]:
    """Return the operational database."""
    return client(params)[params.mongo.database]


def owner_settings() -> dict[str, Any]:
    """Return what a client of the local server needs besides its address; ``uri`` has no password.

    Raises:
        UserError: the state directory's secret cannot be read.
    """
    return {
        "username": OWNER,
        "password": secret.key("mongo"),
        "authMechanism": "SCRAM-SHA-256",
    }


def ping(params: Params) -> None:
    """Ask MongoDB something.

    Raises:
        ServiceError: it does not answer.
    """
    import pymongo
    from pymongo.errors import PyMongoError

    try:
        with pymongo.timeout(PING_SECONDS):
            client(params).admin.command("ping")
    except PyMongoError as error:
        raise unreachable("MongoDB", params.mongo.uri, error) from error


@functools.cache
def _client(uri: str, patience: int, pid: int, **user: Any) -> MongoClient[dict[str, Any]]:
    from pymongo import MongoClient

    return MongoClient(
        uri, tz_aware=True, serverSelectionTimeoutMS=10_000, socketTimeoutMS=patience, **user
    )
