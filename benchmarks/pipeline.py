"""``bench pipeline``: JSON in Kafka to features, beside the idiomatic job in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import apache_beam as beam
import idiomatic
import measured
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from spotify_mlops import clients, sources, topic
from spotify_mlops.jobs import prism
from spotify_mlops.jobs.bounded import shape_of
from spotify_mlops.params import Params
from spotify_mlops.pipeline import graph, progress, steps
from spotify_mlops.pipeline.source import LogSource

Say = Callable[[str], None]
IDIOMATIC_SHARE = 0.1
"""The idiomatic job reads this part of each partition: it would take minutes over all of it."""


def run(params: Params, say: Say, events: int) -> list[dict[str, Any]]:
    """Publish a log of its own, run the three jobs over it, and compare.

    Raises:
        AssertionError: the jobs do not agree on what is in the log.
    """
    name = f"bench-pipeline-{events}"
    params = params.model_copy(
        update={"topic": name, "source": "simulator", "simulator_events": events}
    )
    say(f"Publicando {events} eventos en {name} (una vez)")
    sources.ingest_simulator(params)
    extents = topic.offsets(params)
    records = sum(high - low for low, high in extents.values())

    say("Acotado, FnApiRunner")
    bounded, seconds_bounded = _ours(params, FnApiRunner(), PipelineOptions([]), pane=10_000)
    say("Streaming, Prism")
    pane = max(1, int(timedelta(hours=6) / params.window))
    streaming, seconds_streaming = _ours(params, prism.runner(), prism.options(), pane=pane)
    say("Beam idiomático, un elemento por evento")
    part = [
        (p, low, low + int((high - low) * IDIOMATIC_SHARE)) for p, (low, high) in extents.items()
    ]
    plain, seconds_plain = _idiomatic(params, part)
    some = sum(high - low for _, low, high in part)

    assert bounded == streaming, (bounded, streaming)
    same, _ = _ours(params, FnApiRunner(), PipelineOptions([]), 10_000, {p: e for p, _, e in part})
    assert abs(plain["dead_letters"] - same["dead_letters"]) == 0, (plain, same)
    baseline = some / seconds_plain
    return [
        _figure("bounded", records / seconds_bounded, baseline),
        _figure("streaming", records / seconds_streaming, baseline),
        _figure("idiomatic", baseline, baseline),
    ]


def _figure(name: str, value: float, baseline: float) -> dict[str, Any]:
    return {
        "name": f"pipeline_{name}",
        "value": round(value),
        "unit": "events/s",
        "baseline": round(baseline),
        "ratio": round(value / baseline, 2),
    }


def _ours(
    params: Params, runner: Any, options: Any, pane: int, ends: dict[int, int] | None = None
) -> tuple[dict[str, int], float]:
    extents = topic.offsets(params)
    start = progress.start_of_log({p: low for p, (low, _) in extents.items()})
    ends = ends or {p: high for p, (_, high) in extents.items()}
    job = f"bench-{time.monotonic_ns()}"
    shape: steps.Shape = shape_of(params, pane)
    progress.register(
        job, progress.Progress(start, shape.windowing, shape.lags, shape.shards, raw=0)
    )
    measured.reset(job)
    began = time.perf_counter()
    pipeline = beam.Pipeline(runner, options)
    sinks = graph.Sinks([measured.CountRaw()], measured.CountWindows())
    graph.build(pipeline, LogSource(job, params, shape), start, sinks, ends)
    pipeline.run().wait_until_finish()
    return measured.counts(job), time.perf_counter() - began


def _idiomatic(params: Params, part: list[tuple[int, int, int]]) -> tuple[dict[str, int], float]:
    job = f"idiomatic-{time.monotonic_ns()}"
    measured.reset(job)
    began = time.perf_counter()
    pipeline = beam.Pipeline(FnApiRunner(), PipelineOptions([]))
    features, dead = idiomatic.build(
        pipeline,
        clients.kafka_config(params),
        params.topic,
        part,
        params.window.total_seconds(),
        params.lags,
    )
    _ = features | "CountRows" >> beam.ParDo(measured.Count(job, "rows"))
    _ = dead | "CountDead" >> beam.ParDo(measured.Count(job, "dead_letters"))
    pipeline.run().wait_until_finish()
    return measured.counts(job), time.perf_counter() - began
