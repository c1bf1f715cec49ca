"""``bench sinks``: the live job with every sink acknowledged, beside its slowest sink alone."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import apache_beam as beam
import numpy as np
import polars as pl
import psutil
import workload
from workload import figure

from spotify_mlops.config.errors import ServiceError, UserError
from spotify_mlops.config.params import Params
from spotify_mlops.config.progress import Progress
from spotify_mlops.config.spanish import exact
from spotify_mlops.domain import watermark as marks
from spotify_mlops.domain.events import Ahead, decode
from spotify_mlops.domain.schemas import COUNTED_SCHEMA
from spotify_mlops.domain.windows import Windowing
from spotify_mlops.io import kafka
from spotify_mlops.io.local import processes
from spotify_mlops.operations import apps, stream
from spotify_mlops.pipeline import checkpoint, steps
from spotify_mlops.pipeline.kafka_reader import KafkaReader
from spotify_mlops.pipeline.position import start_of_log
from spotify_mlops.pipeline.predict import Champions
from spotify_mlops.pipeline.sinks import positions
from spotify_mlops.pipeline.steps import Shape

ALONE_RECORDS = 500_000
ALONE_SECONDS = 15.0
"""A sink is measured alone for so long, or until so many records are written."""
WARM_UP = 20.0
MEGABYTE = 1 << 20

_Element = tuple[Any, int, datetime | None]
"""What a sink gets, how many events are in it, and the watermark after it."""


def run(
    params: Params, say: Progress, events: int = 15_000_000, seconds: float = 300.0
) -> list[dict[str, Any]]:
    """Write a full log to all stores for some time; to each alone; to all with no pipeline.

    The log of ``events`` is full when the job starts: what limits it is never who publishes.

    Raises:
        ServiceError: the job ended.
        UserError: the log ended first.
    """
    base = workload.prepare(params, "sinks", say, simulator_events=events)
    decoded = decode(_beginning(base), Ahead.of(base.windows))
    with workload.own_stores(base, "sinks_alone") as own:
        ceilings = _ceilings(own, decoded, say)
    with workload.own_stores(base, "sinks_together") as own:
        together, cost = _together(own, decoded, say)
    slowest = min(ceilings, key=lambda name: ceilings[name])
    say(f"La tarea en directo, todos los destinos, {exact(seconds)} s")
    with workload.own_stores(base, "sinks_live") as own:
        seen = _watch(own, seconds)
    steady = [sample for sample in seen if sample.at >= WARM_UP]
    first, last = steady[0], steady[-1]
    rate = (last.records - first.records) / (last.at - first.at)
    fifth = max(1, len(steady) // 5)
    before, after = (
        float(np.mean([sample.memory for sample in part]))
        for part in (steady[:fifth], steady[-fifth:])
    )
    return [
        figure("sinks_sustained", rate, "events/s", ceilings[slowest]),
        figure("sinks_without_pipeline", together, "events/s", ceilings[slowest]),
        figure("sinks_without_pipeline_cpu", cost * 1e6, "us/event", digits=1),
        figure("sinks_seconds", last.at - first.at, "s"),
        figure("sinks_memory", after, "MB", before),
        *(figure(f"sinks_alone_{name}", value, "events/s") for name, value in ceilings.items()),
    ]


def _ceilings(params: Params, decoded: pl.DataFrame, say: Progress) -> dict[str, float]:
    """Return the events a second that each sink takes alone: the job's own code, without Beam."""
    ceilings = {}
    for name, sink, elements in _work(params, decoded):
        say(f"Solo el destino {name}")
        written, seconds = _alone(params, name, sink, elements, ALONE_SECONDS)
        ceilings[name] = written / seconds
    return ceilings


def _together(params: Params, decoded: pl.DataFrame, say: Progress) -> tuple[float, float]:
    """Let all sinks write at once, each in a thread, without Beam.

    Returns:
        Events a second, and seconds of CPU time of the whole machine for each.
    """
    say("Todos los destinos a la vez, sin la tarea")
    work = list(_work(params, decoded))
    began, busy = time.perf_counter(), _busy()
    with ThreadPoolExecutor(len(work)) as threads:
        ends = [threads.submit(_alone, params, *each, math.inf) for each in work]
        written = min(end.result()[0] for end in ends)
    return written / (time.perf_counter() - began), (_busy() - busy) / written


def _busy() -> float:
    """Return the seconds that the machine's cores have worked since it started."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait)


def _work(params: Params, decoded: pl.DataFrame) -> Iterator[tuple[str, Any, Iterable[_Element]]]:
    """Yield each sink's name, the sink, and what it gets of the beginning of the log."""
    sinks = stream.live_sinks(params)
    for sink in sinks.raw:
        yield sink.name, sink, _batches(decoded, params)
    marked, _ = marks.mark(decoded, _start(params), params.windows.allowed_lateness)
    yield "Windows", sinks.windows, list(_windows(marked, params))


def _start(params: Params) -> marks.Marks:
    return dict.fromkeys(range(params.kafka.partitions))


def _beginning(params: Params) -> pl.DataFrame:
    """Return the first records of the log in the order in which the job reads them."""
    reader = KafkaReader(params, dict.fromkeys(range(params.kafka.partitions), 0))
    records = sum(high for _, high in kafka.offsets(params).values())
    batches, left = [], min(ALONE_RECORDS, records)
    while left > 0:
        batches.append(reader.poll())
        left -= batches[-1].height
    reader.close()
    return pl.concat(batches)


def _batches(decoded: pl.DataFrame, params: Params) -> Iterator[_Element]:
    known = _start(params)
    for part in decoded.iter_slices(2_000):
        marked, known = marks.mark(part, known, params.windows.allowed_lateness)
        yield marked, marked.height, marks.watermark(known, params.windows.allowed_lateness)


def _alone(
    params: Params, name: str, sink: Any, elements: Iterable[_Element], most: float
) -> tuple[int, float]:
    """Write for ``most`` seconds, or to the end; return events and seconds, all acknowledged."""
    job = f"{params.bigquery.dataset}-{name}"
    kept = checkpoint.Tracker(
        job,
        start_of_log(dict.fromkeys(range(params.kafka.partitions), 0)),
        Shape.of(params.windows),
        raw=1,
    )
    dofn: beam.DoFn = sink.dofn(kept)
    dofn.setup()
    written = 0
    began = time.perf_counter()
    for element, events, watermark in elements:
        if watermark is not None:
            kept.close(watermark)  # what is old then is deleted, as in the job
        for _ in dofn.process(element) or ():
            pass
        dofn.finish_bundle()
        written += events
        if time.perf_counter() - began >= most:
            break
    kept.finishing.set()
    dofn.finish_bundle()  # what still waits is written and acknowledged
    seconds = time.perf_counter() - began
    dofn.teardown()
    return written, seconds


def _windows(marked: pl.DataFrame, params: Params) -> Iterator[_Element]:
    """Yield what the last stage gets, one element a window, and how many events are in it."""
    windowing = Windowing.of(params.windows)
    built = workload.features_of(marked, params)
    predicted = Champions(params).predict(built)
    events = steps.events(marked, windowing).group_by("window_start").len()
    sizes = dict(events.iter_rows())
    pieces = predicted.partition_by("window_start", as_dict=True)
    for (window,), rows in built.partition_by("window_start", as_dict=True).items():
        assert isinstance(window, datetime)
        counters = pl.DataFrame([(window, 0, 0, sizes[window], 0)], COUNTED_SCHEMA, orient="row")
        yield (
            (0, window + params.windows.window, rows, counters, pieces[window,]),
            sizes[window],
            None,
        )


@dataclass(frozen=True)
class _Sample:
    at: float
    """Seconds since the job runs."""
    records: int
    """Acknowledged by every sink."""
    memory: float
    """Proportional megabytes of the job and of Prism together."""


def _watch(params: Params, seconds: float) -> list[_Sample]:
    total = sum(high for _, high in kafka.offsets(params).values())
    job = apps.start_stream(params)
    try:
        process = psutil.Process(job.pid)
        began = time.monotonic()
        pause = threading.Event()
        seen: list[_Sample] = []
        while not seen or seen[-1].at < seconds:
            pause.wait(1.0)
            if not processes.is_alive(job):
                raise ServiceError("La tarea de streaming terminó antes de tiempo.")
            position = positions.load(params)
            records = sum(position.acknowledged.values()) if position else 0
            parts = [process, *process.children(recursive=True)]
            memory = sum(part.memory_full_info().pss for part in parts) / MEGABYTE
            seen.append(_Sample(time.monotonic() - began, records, memory))
            if records >= total:
                raise UserError(f"Los {total} registros se acabaron antes que la medida.")
        return seen
    finally:
        processes.stop(job)
