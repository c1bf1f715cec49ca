"""What of a profile runs now, wherever it is: one thing after another, none of which is changed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pymongo
from google.api_core.exceptions import NotFound

from ...config.params import Params
from ...config.references import LOCAL
from ...io.addresses import PING_SECONDS
from ...io.archive.location import archive_root
from ...io.bigquery import clients as warehouse
from ...io.google_apis import Apis
from ...io.mongo import clients as store
from ...io.storage.objects import has_generations
from ...model.endpoint import Endpoint
from ...model.promotions import PromotionHistory
from .. import lag
from ..engines import cluster
from . import watcher
from .check import places
from .check.finding import Check, Context, Finding
from .check.running import PATIENCE, run

_ANSWER_SECONDS = 2 * PING_SECONDS
_RECENT = 3600
"""Seconds of which the freshness is told."""


def job(context: Context) -> Finding:
    """Tell of the streaming job: an engine's, or that of this machine."""
    params = context.params
    if params.engine.runner == "prism":
        found = lag.measure(params)
        facts: dict[str, Any] = {"runner": params.engine.runner, "seconds": found.age_seconds}
        return Finding("job", "good" if found.source == "job" else "off", found.source, facts)
    running = cluster.running(params)
    if running is None:
        name = cluster.of(params).job_name(cluster.stream_name(params))
        return Finding("job", "off", "none", {"name": name})
    facts = dict(vars(running))
    return Finding("job", "good" if running.state == "RUNNING" else "bad", "runs", facts)


def watching(context: Context) -> Finding | None:
    """Tell of the pool in which the job is watched, where that is not this machine."""
    params = context.params
    if params.engine.runner != "dataflow" or params.dataflow.endpoint == LOCAL:
        return None
    found = watcher.pool(params, context.apis)
    facts: dict[str, Any] = {"pool": watcher.pool_id(params)}
    if found is None:
        return Finding("watching", "off", "none", facts)
    facts |= {"instances": found.instances, "said": found.failure}
    if not found.is_settled:
        return Finding("watching", "unknown", "changing", facts)
    if found.failure is not None:
        return Finding("watching", "bad", "broken", facts)
    return Finding(
        "watching", *(("good", "watched") if found.instances else ("off", "idle")), facts
    )


def endpoint(context: Context) -> Finding:
    """Tell which versions answer, and whether the champion is one of them."""
    traffic = Endpoint(context.params).traffic()
    if not traffic:
        return Finding("endpoint", "off", "none")
    champion = PromotionHistory(context.params).champion()
    facts = {
        "traffic": [f"{version} ({share} %)" for version, share in sorted(traffic.items())],
        "champion": champion or "",
    }
    same = champion in traffic
    return Finding("endpoint", "good" if same else "bad", "serves" if same else "differs", facts)


def log(context: Context) -> Finding:
    """Tell how much the topic holds, and how far behind the job is."""
    found = lag.measure(context.params)
    facts = {
        "topic": context.params.kafka.topic,
        "records": sum(partition.end for partition in found.partitions),
        "partitions": len(found.partitions),
        "left": found.records,
        "offsets": {each.partition: each.end for each in found.partitions},
    }
    return Finding("log", "good", "holds", facts)


def tables(context: Context) -> Finding:
    """Tell until when the tables are written, how long ago, and how fresh they were."""
    try:
        closed = warehouse.query(
            context.params,
            "SELECT MAX(closed_until) AS until, MAX(written_at) AS written "
            "FROM {dataset}.spotify_closed_rows",
        ).row(0)
        fresh = warehouse.query(
            context.params,
            "SELECT APPROX_QUANTILES(TIMESTAMP_DIFF(written_at, closed_at, MILLISECOND), 100)"
            "[OFFSET(99)] / 1000 AS p99 FROM {dataset}.spotify_freshness_rows "
            "WHERE closed_at >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL "
            f"{_RECENT} SECOND)",
        ).row(0)
    except NotFound:
        return Finding("tables", "off", "none", {"dataset": context.params.bigquery.dataset})
    until, written = closed
    if until is None:
        return Finding("tables", "off", "empty", {"dataset": context.params.bigquery.dataset})
    age = (datetime.now(UTC) - written).total_seconds()
    facts = {"until": until, "age": age, "p99": fresh[0]}
    return Finding("tables", "good", "written" if fresh[0] is None else "fresh", facts)


def archive(context: Context) -> Finding | None:
    """Tell whether the archive is there."""
    if has_generations(context.params.cloud.archive):
        found = places.bucket(context)
        return None if found is None else Finding("archive", found.state, found.reason, found.facts)
    folder = archive_root(context.params).removeprefix("file://")
    there = Path(folder).is_dir()
    facts = {"folder": folder}
    return Finding("archive", "good" if there else "off", "folder" if there else "none", facts)


def documents(context: Context) -> Finding:
    """Tell how many documents MongoDB has, about."""
    with pymongo.timeout(_ANSWER_SECONDS):
        found = store.database(context.params)
        counts = {name: found[name].estimated_document_count() for name in ("events", "tracks")}
    return Finding("documents", "good", "counts", counts)


PARTS: dict[str, Check] = {
    "job": job,
    "watching": watching,
    "log": log,
    "tables": tables,
    "endpoint": endpoint,
    "archive": archive,
    "documents": documents,
}
"""In the order in which they are told."""


def status(params: Params, patience: float = PATIENCE) -> list[Finding]:
    """Return what runs of a profile; what does not answer is not known.

    Args:
        params: of the profile.
        patience: seconds for all of it.
    """
    quick = params.replace(service_timeout=f"{_ANSWER_SECONDS}s")
    return run(Context(quick, Apis(quick)), PARTS, patience, fault="unknown")
