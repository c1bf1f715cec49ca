"""Publishing the simulated history once, whole, whatever interrupts it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import polars as pl

from ..config.errors import ParamsError
from ..config.params import Params
from ..config.progress import Progress
from ..config.sections import Kafka
from ..io.kafka import Journal, Publisher, offsets
from ..io.kafka.publishing import PublishingProgress, heartbeat_records
from ..io.local import state
from .manifest import Tally
from .simulator import VERSION, Simulator, check_dates, records

Batch = tuple[pl.DataFrame, pl.DataFrame]
"""What to publish (``RECORD_COLUMNS``) and the rows to count it by."""

_FOLDER = "manifests"


def ingest_simulator(params: Params, progress: Progress | None = None) -> dict[str, Any]:
    """Publish the simulated history and its closing heartbeats; a second time, nothing.

    Returns:
        ``published`` and ``skipped`` records, ``seconds``, ``closed_until`` (RFC 3339), the
        totals of the manifest, and ``partitions``, the manifest itself.

    Raises:
        ParamsError: the simulator does not know a country, or the log has later events of
            another source.
        ServiceError: Kafka does not answer.
    """
    check_dates(params, datetime.now(UTC))
    simulator = Simulator(params)

    def batches() -> Iterator[Batch]:
        for frame in simulator.history():
            yield records(frame), frame

    shares = params.sources.duplicate_share + params.sources.malformed_share
    return _publish_once(
        params,
        simulator_key(params),
        batches(),
        first=simulator.world.start,
        end=simulator.world.end,
        expected=round(params.simulator.events * (1 + shares)) + params.kafka.partitions,
        progress=progress,
    )


def simulator_key(params: Params) -> str:
    """Return the journal's name of this simulated history: a digest of all that decides it."""
    decisive = {
        name: str(params.value(name))
        for name in (
            "simulator_seed", "simulator_start", "simulator_days", "simulator_events",
            "simulator_tracks", "countries", "duplicate_share", "late_share", "malformed_share",
            "allowed_lateness", "window", "window_offset", "partitions", "live_duration",
        )
    }  # fmt: skip
    if days := params.simulator.regime_day:
        # As when it could be one day alone: what was published then stays known.
        decisive["simulator_regime_day"] = str(days[0] if len(days) == 1 else days)
    text = json.dumps([VERSION, decisive], sort_keys=True)
    return f"simulator:{params.simulator.seed}:{_digest([text])}"


def _publish_once(
    params: Params,
    key: str,
    batches: Iterable[Batch],
    *,
    first: datetime,
    end: datetime,
    expected: int,
    progress: Progress | None,
) -> dict[str, Any]:
    """Publish batches and the heartbeats that close ``end``, unless the journal says it is done."""
    began = time.monotonic()
    journal = Journal(params)
    entry = journal.entries().get(key)
    if entry is not None and entry["state"] == "complete":
        return _summary(
            params.kafka, key, entry, 0, Tally(entry["manifest"]).totals()["records"], began
        )
    with state.locked(f"ingest-{params.kafka.topic}"):
        entries = journal.entries()
        entry = entries.get(key)
        _refuse_closed(params.kafka, entries, key, first)
        tally = Tally()
        with Publisher(params) as publisher:
            if entry is None:
                start = {str(p): high for p, (_, high) in offsets(params).items()}
                entry = {"state": "publishing", "start": start, "manifest": {}}
                journal.write(key, entry)
            else:
                publisher.resume({int(p): offset for p, offset in entry["start"].items()})
            report = PublishingProgress(progress, expected)
            for ready, rows in batches:
                publisher.send(ready)
                tally.add(rows)
                report(publisher)
            publisher.send(heartbeat_records(params.kafka, end + params.windows.allowed_lateness))
            tally.heartbeats(params.kafka.partitions)
        entry = {
            "state": "complete",
            "start": entry["start"],
            "closed_until": end.isoformat(),
            "manifest": tally.by_partition(),
        }
        journal.write(key, entry)
    return _summary(params.kafka, key, entry, publisher.published, publisher.skipped, began)


def _refuse_closed(
    kafka: Kafka, entries: dict[str, dict[str, Any]], key: str, first: datetime
) -> None:
    """Refuse a simulated history that would be late because another source is beyond it.

    Raises:
        ParamsError: so it is.
    """
    for other, entry in entries.items():
        if other == key or "closed_until" not in entry:
            continue
        closed = datetime.fromisoformat(entry["closed_until"])
        if first < closed:
            raise ParamsError(
                f"El tema {kafka.topic} ya está cerrado hasta {closed:%Y-%m-%d} por otra "
                f"publicación ({other.split(':')[0]}) y estos eventos empiezan el "
                f"{first:%Y-%m-%d}: llegarían tarde. Usa otro nombre de topic."
            )


def _summary(
    kafka: Kafka, key: str, entry: dict[str, Any], published: int, skipped: int, began: float
) -> dict[str, Any]:
    summary = {
        "source": key,
        "published": published,
        "skipped": skipped,
        "seconds": round(time.monotonic() - began, 3),
        "closed_until": entry["closed_until"],
        **Tally(entry["manifest"]).totals(),
        "partitions": entry["manifest"],
    }
    folder = state.folder(_FOLDER)
    path = folder / f"{kafka.topic}-{key.replace(':', '-')}.json"
    path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
