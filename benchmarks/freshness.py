"""``bench freshness``: from the moment a window can close to its predictions in BigQuery."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from spotify_mlops import clients, sources, tables, warehouse
from spotify_mlops.errors import UserError
from spotify_mlops.jobs import deploy
from spotify_mlops.local import processes
from spotify_mlops.model.registry import Registry
from spotify_mlops.params import Params

Say = Callable[[str], None]
WARM_UP = 10
"""Windows at the start that are not counted: the job's first bundles load code and model."""
POLL_SECONDS = 0.05
LATENESS = timedelta(milliseconds=200)


def run(params: Params, say: Say, rate: float, seconds: float) -> list[dict[str, Any]]:
    """Run the live job on 1-second windows with all sinks on, and watch BigQuery.

    The baseline is what the same rows cost with no pipeline at all: one append through the same
    client, until a query sees them.

    Raises:
        UserError: no model is registered yet.
    """
    champion = Registry(params).champion()
    if champion is None:
        raise UserError("Aún no hay un modelo registrado: ejecuta antes «make run».")
    name = f"bench_freshness_{int(time.time())}"
    bench = params.model_copy(
        update={
            "profile": "bench",
            "topic": name,
            "dataset": name,
            "mongo_database": name,
            "source": "simulator",
            "window": timedelta(seconds=1),
            "window_offset": timedelta(0),
            "allowed_lateness": LATENESS,
            "archive": f"{clients.archive_uri(params)}-{name}",
        }
    )
    registry = Registry(bench)
    version = registry.register(Registry(params).bundle_path(champion))
    registry.promote(version, datetime(2020, 1, 1, tzinfo=UTC))
    say("Arrancando la tarea de streaming con ventanas de 1 s")
    job = deploy.start_stream(bench)
    try:
        seen = _watch(bench, rate, seconds, say)
    finally:
        processes.stop(job)
    delays = _delays(seen)
    floor = _floor(bench, rows=int(np.median(list(_final(seen).values()))))
    client = clients.bigquery_client(bench)
    client.delete_dataset(bench.dataset, delete_contents=True, not_found_ok=True)
    p50, p99 = np.percentile(delays, [50, 99])
    label = f"{rate:g}/s"
    return [
        _figure(f"freshness_p50_{label}", p50, floor),
        _figure(f"freshness_p99_{label}", p99, floor),
        {
            "name": "windows",
            "value": len(delays),
            "unit": "windows",
            "baseline": None,
            "ratio": None,
        },
    ]


def _figure(name: str, value: float, baseline: float) -> dict[str, Any]:
    return {
        "name": name,
        "value": round(float(value), 3),
        "unit": "s",
        "baseline": round(baseline, 3),
        "ratio": round(float(value) / baseline, 2),
    }


Seen = list[tuple[float, datetime, int]]


def _watch(params: Params, rate: float, seconds: float, say: Say) -> Seen:
    """Publish at a rate and note when a query sees how many rows of which window."""
    say(f"{rate:g} eventos/s durante {seconds:g} s")
    done = threading.Event()

    def publish() -> None:
        sources.paced(params, rate, seconds, threading.Event())
        done.set()

    threading.Thread(target=publish, daemon=True).start()
    sql = (
        "SELECT window_start, COUNT(*) AS n FROM {dataset}.spotify_predictions "
        "WHERE window_start >= @since GROUP BY 1"
    )
    seen: Seen = []
    while not done.is_set():
        since = datetime.now(UTC) - timedelta(seconds=20)
        for window, number in clients.query(params, sql, since=since).iter_rows():
            seen.append((time.time(), window, number))
        done.wait(POLL_SECONDS)  # a reader that never rests would take a core from the rest
    return seen


def _final(seen: Seen) -> dict[datetime, int]:
    final: dict[datetime, int] = {}
    for _, window, number in seen:
        final[window] = max(final.get(window, 0), number)
    return final


def _delays(seen: Seen) -> list[float]:
    """Return, a window, the seconds from when it could close until all its rows were seen."""
    final = _final(seen)
    whole: dict[datetime, float] = {}
    for at, window, number in seen:
        if number == final[window]:
            whole[window] = min(whole.get(window, at), at)
    measured = sorted(whole)[WARM_UP:-1]
    return [
        whole[window] - (window + timedelta(seconds=1) + LATENESS).timestamp()
        for window in measured
    ]


def _floor(params: Params, rows: int) -> float:
    """Return the median seconds of one append of ``rows`` predictions until a query sees them."""
    sql = "SELECT COUNT(*) FROM {dataset}.spotify_predictions WHERE window_start = @window"
    times = []
    with warehouse.Appender(params, tables.PREDICTIONS) as appender:
        for turn in range(10):
            window = datetime(2001, 1, 1 + turn, tzinfo=UTC)
            frame = pl.DataFrame(
                {
                    "window_start": [window] * rows,
                    "country": ["CO"] * rows,
                    "track_id": [str(i) for i in range(rows)],
                    "level": ["Alta"] * rows,
                    "score": [0.5] * rows,
                    "p_alta": [0.5] * rows,
                    "p_media": [0.3] * rows,
                    "p_baja": [0.2] * rows,
                    "model": ["floor"] * rows,
                    "horizon": [1] * rows,
                    "written_at": [datetime.now(UTC)] * rows,
                }
            )
            began = time.perf_counter()
            appender.append(frame)
            while clients.query(params, sql, window=window).item() < rows:
                pass
            times.append(time.perf_counter() - began)
    return float(np.median(times))
