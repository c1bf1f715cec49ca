"""One ingest of the Web API into a log in memory, and the account that it must keep."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import polars as pl

from hands import Hands
from memory_log import PARTITIONS, Log
from spotify_mlops.config import params
from spotify_mlops.config.params import Params
from spotify_mlops.sources.webapi import ingest_webapi
from webapi_server import WebApi

START = datetime(2026, 5, 1, 10, 7, tzinfo=UTC)
SLOT = datetime(2026, 5, 1, 10, tzinfo=UTC)
LIST = "37i9dQZEVXbOa2lmxNORXQ"


def profile(api: WebApi, **changes: Any) -> Params:
    """Make params that ask a server for one search in each of two markets."""
    small: dict[str, Any] = {
        "countries": ["CO", "ES"],
        "partitions": PARTITIONS,
        "webapi_address": api.address,
        "webapi_queries": ["genre:pop"],
        "webapi_new_releases": False,
    }
    return params.load("local", **small | changes)


def ingest(settings: Params, hands: Hands | None = None, **more: Any) -> dict[str, Any]:
    """Publish, and see that every item is an event or left out."""
    hands = hands or Hands(START)
    summary = ingest_webapi(settings, clock=hands.clock(), pause=1e-4, **more)
    json.dumps(summary)
    assert summary["items"] == summary["events"] + sum(summary["left_out"].values())
    assert summary["events"] == sum(
        summary[name] for name in ("published", "skipped", "late_left_out")
    )
    return summary


def events(log: Log, settings: Params) -> pl.DataFrame:
    """Return the events of the log, by time, country, kind and track."""
    found = log.read(settings)
    assert found.filter(kind="dead_letter").is_empty()
    key = ("event_time", "country", "event_type", "track_id")
    return found.filter(kind="event").sort(key)
