"""``bench freshness``: from the moment a window can close until its predictions can be read.

Windows last one second. A reader looks into BigQuery (Storage Read API) and one into MongoDB every
30 ms or so; a window counts as readable when the first look that finds all its rows has come back.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import workload
from google.cloud.bigquery_storage_v1 import types
from workload import figure

from local_services import services
from spotify_mlops.config import paths
from spotify_mlops.config.errors import ServiceError, UserError
from spotify_mlops.config.params import Params
from spotify_mlops.config.progress import Progress
from spotify_mlops.config.spanish import exact
from spotify_mlops.domain.windows import EPOCH
from spotify_mlops.io import bigquery, mongo
from spotify_mlops.io.bigquery import appending, tables
from spotify_mlops.io.kafka import admin
from spotify_mlops.io.local import processes
from spotify_mlops.operations import apps

WARM_UP = 25
"""Windows at the start that are not counted: a job is sent to its engine, its first bundles load
code and model, and what came meanwhile is worked off."""
POLL_SECONDS = 0.03
LENGTH = timedelta(seconds=1)
LATENESS = timedelta(milliseconds=200)
LOOK_BACK = timedelta(seconds=3)
"""A look asks for the latest window seen and those so long before it: who wants news reads no
more, and a reader of all rows would take half a core from the rest."""
TRACKS = 500
"""In four countries: at most 2,000 row keys a window."""
SAMPLE = 4
"""Tracks of each country that are looked up in MongoDB: those with most windows."""
CASES = ((1_000.0, True), (2_000.0, True), (5_000.0, True), (40_000.0, False))
"""Events a second, and whether all sinks are on; else only those of predictions."""


def run(
    params: Params,
    say: Progress,
    rate: float | None = None,
    seconds: float = 60.0,
    all_sinks: bool = True,
) -> list[dict[str, Any]]:
    """Run the live job on 1-second windows and watch the stores; all of ``CASES`` without a rate.

    The baseline is what the same rows cost with no pipeline at all: one append through the same
    client, until a reader finds them.

    Raises:
        ServiceError: the job ended, or a window was not complete when later ones had been for
            ``LOOK_BACK``.
        UserError: too few windows were seen.
    """
    if params.engine.runner == "flink":
        services.up(say, task_managers=params.engine.parallelism)
    bundle = workload.model(params, say)
    figures = []
    for each, everything in CASES if rate is None else ((rate, all_sinks),):
        with bench(params, bundle) as own:
            figures += _case(own, each, seconds, everything, say)
    return figures


@contextmanager
def bench(params: Params, bundle: Path) -> Iterator[Params]:
    """Give a log and stores of their own, with a champion, and remove them afterwards."""
    own = {
        "topic": f"bench-freshness-{time.time_ns() // 1_000_000}",
        "source": "simulator",
        "simulator_tracks": TRACKS,
        "window": LENGTH,
        "window_offset": timedelta(0),
        "allowed_lateness": LATENESS,
        "shards": 1,  # 2,000 rows are too few to share out
        "archive": str(paths.state_dir() / "bench" / "freshness"),
    }
    with workload.own_stores(params.replace(**own), "freshness", bundle) as given:
        try:
            yield given
        finally:
            kafka = admin.admin_client(given)
            kafka.delete_topics([given.kafka.topic])[given.kafka.topic].result(30)


def _case(
    params: Params, rate: float, seconds: float, all_sinks: bool, say: Progress
) -> list[dict[str, Any]]:
    sinks = "todos los destinos" if all_sinks else "solo los destinos de predicciones"
    say(f"{exact(rate)} eventos/s durante {exact(seconds)} s, {sinks}")
    job = apps.start_stream(params) if all_sinks else _start_predictions_only(params)
    try:
        seen = _watch(params, rate, seconds)
        if not processes.is_alive(job):
            raise ServiceError(f"La tarea acabó antes de tiempo:\n{processes.tail(job.log)}")
    finally:
        processes.stop(job)
    windows = seen.measured()
    if not windows:
        raise UserError(
            f"En {exact(seconds)} s no se vieron ventanas suficientes: usa más segundos."
        )
    floor = _floor(params, rows=int(np.median([seen.rows[window] for window in windows])))
    label = str(rate).removesuffix(".0") + "/s" + ("" if all_sinks else "_predictions_only")
    figures = []
    for store, delays in (
        ("bigquery", [seen.bigquery_delay(window) for window in windows]),
        ("mongo", [d for window in windows if (d := seen.mongo_delay(window)) is not None]),
    ):
        p50, p99 = np.percentile(delays, [50, 99])
        figures.append(figure(f"freshness_{store}_p50_{label}", float(p50), "s", floor, 3))
        figures.append(figure(f"freshness_{store}_p99_{label}", float(p99), "s", floor, 3))
    return [*figures, figure(f"freshness_windows_{label}", len(windows), "windows")]


def _start_predictions_only(params: Params) -> Any:
    """Start the live job without its raw sinks, as a process of its own like the other."""
    apps.ready_file().unlink(missing_ok=True)
    script = Path(__file__).with_name("predictions_only.py")
    return processes.start(
        apps.STREAM,
        [sys.executable, script, apps.params_file(params)],
        ready=apps.ready_file().exists,
        timeout=params.stream.service_timeout.total_seconds(),
    )


@dataclass
class _Seen:
    """When a reader found what; times are seconds since the epoch."""

    rows: dict[datetime, int] = field(default_factory=dict)
    """Rows of each window, in the end."""
    whole: dict[datetime, float] = field(default_factory=dict)
    """When all of them were in BigQuery."""
    sample: dict[datetime, set[str]] = field(default_factory=dict)
    """Of the tracks looked up in MongoDB, those with a row in the window."""
    tracks: list[tuple[float, dict[str, datetime]]] = field(default_factory=list)
    """The window that each of them was at, look by look."""

    def measured(self) -> list[datetime]:
        """Return the windows that count: after the warm-up, and the last may lack rows."""
        return sorted(self.whole)[WARM_UP:-1]

    def bigquery_delay(self, window: datetime) -> float:
        """Return the seconds until the window's rows were in BigQuery."""
        return self.whole[window] - closable(window)

    def mongo_delay(self, window: datetime) -> float | None:
        """Return the seconds until its sampled tracks were in MongoDB; None if there are none."""
        wanted = self.sample.get(window, set())
        for at, found in self.tracks:
            if wanted and all(found.get(name, window - LENGTH) >= window for name in wanted):
                return at - closable(window)
        return None


def closable(window: datetime) -> float:
    return (window + LENGTH + LATENESS).timestamp()


def _watch(params: Params, rate: float, seconds: float) -> _Seen:
    """Publish at a rate and look into both stores meanwhile."""
    script = Path(__file__).with_name("publish.py")
    what = [str(apps.params_file(params)), str(rate), str(seconds)]
    seen, done = _Seen(), threading.Event()
    with (
        ThreadPoolExecutor(2) as readers,
        subprocess.Popen([sys.executable, script, *what]) as publisher,
    ):
        looking = [readers.submit(look, params, seen, done) for look in (_bigquery, _mongo)]
        publisher.wait()
        done.set()
        for reader in looking:
            reader.result()
    if publisher.returncode:
        raise ServiceError("Quien publica falló; su error está arriba.")
    final = dict(readable(params, EPOCH).iter_rows())
    for window in seen.measured():
        if final[window] != seen.rows[window]:
            raise ServiceError(f"La ventana {window} se completó cuando ya no se miraba.")
    return seen


def _bigquery(params: Params, seen: _Seen, done: threading.Event) -> None:
    since = EPOCH
    while not done.wait(POLL_SECONDS):  # a reader that never rests would take a core from the rest
        found = readable(params, since)
        now = time.time()
        for window, number in found.iter_rows():
            if number > seen.rows.get(window, 0):
                seen.rows[window], seen.whole[window] = number, now
                since = max(since, window - LOOK_BACK)


def _mongo(params: Params, seen: _Seen, done: threading.Event) -> None:
    tracks = mongo.database(params)["tracks"]
    sample: list[str] = []
    while not done.wait(POLL_SECONDS):
        if sample:
            found = tracks.find({"_id": {"$in": sample}}, _WINDOW)
            windows = {document["_id"]: document["window_start"] for document in found}
            seen.tracks.append((time.time(), windows))
        elif len(seen.whole) >= WARM_UP:
            sample = _sample(params)
    for window, name in _sampled_windows(params, sample).iter_rows():
        seen.sample.setdefault(window, set()).add(name)


_WINDOW = {"window_start": True}


def _sample(params: Params) -> list[str]:
    """Return the ids in MongoDB of the tracks with most windows, some of each country."""
    found = bigquery.query(
        params,
        "SELECT country, CONCAT(country, ':', track_id) AS id, COUNT(*) AS n "
        "FROM {dataset}.spotify_predictions_rows GROUP BY 1, 2",
    )
    top = found.sort("n", "id", descending=True).group_by("country").head(SAMPLE)
    return top["id"].to_list()


def _sampled_windows(params: Params, sample: list[str]) -> pl.DataFrame:
    return bigquery.query(
        params,
        "SELECT window_start, CONCAT(country, ':', track_id) AS id "
        "FROM {dataset}.spotify_predictions_rows "
        "WHERE CONCAT(country, ':', track_id) IN UNNEST(@sample)",
        sample=sample,
    )


def readable(params: Params, since: datetime) -> pl.DataFrame:
    """Return how many predictions of each window a reader of BigQuery finds now.

    Over the Storage Read API: the cheapest way to look often.
    """
    client = bigquery.read_client(params.bigquery)
    session = client.create_read_session(
        parent=f"projects/{params.cloud.project}",
        read_session=types.ReadSession(
            table=client.table_path(
                params.cloud.project, params.bigquery.dataset, tables.PREDICTIONS.rows
            ),
            data_format=types.DataFormat.ARROW,
            read_options=types.ReadSession.TableReadOptions(
                selected_fields=["window_start"],
                row_restriction=f"window_start >= '{since.isoformat()}'",
            ),
        ),
        max_stream_count=1,
    )
    rows = [client.read_rows(stream.name).to_arrow(session) for stream in session.streams]
    frames = [pl.DataFrame(part) for part in rows if part.num_rows]
    if not frames:
        return pl.DataFrame(schema={"window_start": pl.Datetime("us", "UTC"), "n": pl.UInt32})
    return pl.concat(frames).group_by("window_start").agg(pl.len().alias("n"))


def _floor(params: Params, rows: int) -> float:
    """Return the median seconds of one append of ``rows`` predictions until a reader finds them."""
    times = []
    with appending.Appender(params, tables.PREDICTIONS) as appender:
        for turn in range(10):
            window = datetime(2101, 1, 1 + turn, tzinfo=UTC)
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
            while readable(params, window)["n"].sum() < rows:
                pass
            times.append(time.perf_counter() - began)
    return float(np.median(times))
