"""``bench pipeline``: JSON in Kafka to rows ready for the sinks, beside two references.

The idiomatic Beam job of the same semantics (`idiomatic`) says what the columns gain; plain polars
over the same bytes in memory says what is left to gain.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import apache_beam as beam
import idiomatic
import measured
import numpy as np
import polars as pl
import workload
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from workload import Run, figure

from spotify_mlops.config.params import Params
from spotify_mlops.config.progress import Progress
from spotify_mlops.io import files, kafka
from spotify_mlops.io.archive import archived
from spotify_mlops.pipeline.predict import Champions
from spotify_mlops.pipeline.sinks import archive

IDIOMATIC_SHARE = 0.1
"""The idiomatic job reads this part of each partition: it would take minutes over all of it."""
STREAMING_BUCKET = 24
"""Windows in an element of the streaming job: a backlog is worked off a day at a time."""
PAIRS = 10
LETTERS_EVENTS = 200_000


def run(params: Params, say: Progress, events: int = 1_000_000) -> list[dict[str, Any]]:
    """Publish a log of its own, run all jobs over it, and compare.

    Raises:
        AssertionError: the jobs do not agree on what is in the log.
    """
    params = workload.prepare(params, "pipeline", say, simulator_events=events)
    log = workload.read(params)
    _archive(params, log)
    extents = kafka.offsets(params)
    records = log.height

    say("Arranque: procesos vacíos")
    imports = _import_seconds()
    start = workload.bounded(params, {p: (low, low) for p, (low, _) in extents.items()}).seconds
    say("Acotado, FnApiRunner, desde Kafka")
    bounded = workload.bounded(params, extents)
    say("Acotado, FnApiRunner, desde el archivo")
    archived = workload.bounded(params, extents, archive=True)
    say("Streaming, Prism, desde Kafka")
    streaming = workload.streaming(params, extents, STREAMING_BUCKET)
    say("polars sobre los mismos bytes en memoria")
    plain = workload.timed(lambda: _plain(log, params))
    say("Beam idiomático, un elemento por evento")
    part = {
        p: (low, low + int((high - low) * IDIOMATIC_SHARE)) for p, (low, high) in extents.items()
    }
    slow = workload.timed(lambda: _idiomatic(params, part))
    same = workload.bounded(params, part)

    assert bounded.counts == streaming.counts == archived.counts, (bounded, streaming, archived)
    assert plain.counts["predictions"] >= bounded.counts["predictions"] > 0, (plain, bounded)
    assert slow.counts["dead_letters"] == same.counts["dead_letters"], (slow, same)
    assert slow.counts["duplicates"] >= same.counts["duplicates"], (slow, same)  # late ones too

    limit = records / plain.seconds
    some = sum(end - low for low, end in part.values())
    baseline, slow_cpu = some / slow.seconds, 1e6 * slow.cpu / some

    def rates(name: str, run: Run) -> list[dict[str, Any]]:
        rate, cpu = records / run.seconds, 1e6 * run.cpu / records
        return [
            figure(f"pipeline_{name}", rate, "events/s", baseline),
            figure(f"pipeline_{name}_of_polars", 100 * rate / limit, "%", 100.0, 1),
            figure(f"pipeline_{name}_cpu", cpu, "us/event", slow_cpu, 2),
        ]

    return [
        *rates("bounded", bounded),
        *rates("streaming", streaming),
        *rates("archive", archived),
        figure("pipeline_polars", limit, "events/s", baseline),
        figure("pipeline_idiomatic", baseline, "events/s", baseline),
        figure("pipeline_import", imports, "s", digits=2),
        figure("pipeline_start", start, "s", digits=2),
        figure(
            "pipeline_dead_letters_cpu",
            _cost_of_letters(params, say, min(events, LETTERS_EVENTS)),
            "ratio",
            1.0,
            3,
        ),
    ]


def _import_seconds() -> float:
    """Return what a new process takes until the graph's code is loaded."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import spotify_mlops.operations.bounded"], check=True)
    return time.perf_counter() - began


def _archive(params: Params, log: pl.DataFrame) -> None:
    """Write the log as the archive sink does, 50,000 records a file, once."""
    if archive.coverage(params):
        return
    folder = f"{archived.raw_folder(params)}/append_day=2026-01-01"
    for rows in log.iter_slices(50_000):
        name = archived.file_name(rows)
        files.write_parquet(f"{folder}/{name}", rows.sort("partition", "offset"))


def _plain(log: pl.DataFrame, params: Params) -> dict[str, int]:
    """Do it all at once on columns in memory: no Kafka, no Beam. Unfinished windows count too."""
    built = workload.plain_features(log, params)
    return {"predictions": Champions(params).predict(built).height}


def _idiomatic(params: Params, extents: workload.Extents) -> dict[str, int]:
    job = f"idiomatic-{time.monotonic_ns()}"
    measured.reset(job)
    pipeline = beam.Pipeline(FnApiRunner(), PipelineOptions([]))
    parts = [(p, low, end) for p, (low, end) in extents.items()]
    predictions, dead, duplicates = idiomatic.build(pipeline, params, parts)
    for name, rows in (
        ("predictions", predictions),
        ("dead_letters", dead),
        ("duplicates", duplicates),
    ):
        _ = rows | f"Count_{name}" >> beam.ParDo(measured.Count(job, name))
    pipeline.run().wait_until_finish()
    return measured.counts(job)


def _cost_of_letters(params: Params, say: Progress, events: int) -> float:
    """Return the median CPU-time ratio of logs with 1 % bad records and with none.

    Interleaved pairs of runs, so that what else the machine does meets both alike.
    """
    say(f"Coste de las cartas muertas: {PAIRS} parejas")
    clean, spoilt = (
        workload.prepare(
            params,
            f"letters-{percent}",
            say,
            simulator_events=events,
            malformed_share=percent / 100,
            archive=params.cloud.archive,
        )
        for percent in (0, 1)
    )
    logs = [(p, kafka.offsets(p)) for p in (clean, spoilt)]
    runs = [workload.bounded(*log) for _ in range(PAIRS) for log in logs]
    costs = [run.cpu / run.counts["records"] for run in runs]
    return float(np.median([b / a for a, b in zip(costs[::2], costs[1::2], strict=True)]))
