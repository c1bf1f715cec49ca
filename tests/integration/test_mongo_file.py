"""The file of the local MongoDB server: near the size of what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from local_services import mongo
from spotify_mlops.io.http import ports
from spotify_mlops.io.local import processes, state
from spotify_mlops.io.mongo.clients import owner_settings


@contextmanager
def served() -> Iterator[tuple[Collection[dict[str, Any]], Path]]:
    """Start a server of its own; it ends in order. Yield a collection, and the server's file."""
    chosen = ports.choose(mongo.PORTS, {})
    argv, env = mongo.command(chosen, print)
    record = processes.start(
        "mongo", argv, env=env, ready=lambda: mongo.is_ready(chosen), ports=chosen
    )
    try:
        with MongoClient(mongo.addresses(chosen)["uri"], **owner_settings()) as client:
            yield client["test"]["events"], state.folder("mongo") / "documents.mv"
    finally:
        processes.stop(record)


def test_what_was_deleted_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path))
    text = "x" * 200
    with served() as (events, file):
        for window in range(30):
            first = window * 1000
            events.insert_many([{"_id": f"{first + n:09}", "text": text} for n in range(1000)])
            events.delete_many({"_id": {"$lt": f"{first:09}"}})
        written = file.stat().st_size
    live = 1000 * 220
    assert written > 5 * live  # something to give back
    assert file.stat().st_size < 5 * live
    with served() as (events, file):
        assert events.count_documents({}) == 1000
        assert events.find_one({"_id": "000029999"}) == {"_id": "000029999", "text": text}
