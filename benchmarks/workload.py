"""The log that the benchmarks read, a model for it, and the project's job over it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apache_beam as beam
import joblib
import measured
import polars as pl
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from spotify_mlops import sources
from spotify_mlops.config import paths
from spotify_mlops.config.params import Params
from spotify_mlops.config.progress import Progress
from spotify_mlops.config.spanish import number
from spotify_mlops.domain import features, labels, watermark
from spotify_mlops.domain.events import Ahead, decode
from spotify_mlops.domain.windows import Windowing
from spotify_mlops.io import bigquery, kafka, mongo
from spotify_mlops.io.bigquery import warehouse
from spotify_mlops.model.promotions import PromotionHistory
from spotify_mlops.model.training import train
from spotify_mlops.operations.engines import prism
from spotify_mlops.pipeline import checkpoint, graph, steps
from spotify_mlops.pipeline.kafka_reader import KafkaReader
from spotify_mlops.pipeline.position import start_of_log
from spotify_mlops.pipeline.source import LogSource
from spotify_mlops.presentation.es import card

Extents = Mapping[int, tuple[int, int]]
"""Per partition, the first record and the end of what is read."""
MODEL_EVENTS = 400_000
"""In the log that the model is trained on, unless what it then predicts is small."""
_MODEL_SHARE = 20
"""At most this many times what is predicted: a small run, which tries a benchmark, is short."""


def prepare(params: Params, name: str, say: Progress, **changes: Any) -> Params:
    """Publish a simulated log of its own and register a model for it, each once.

    Returns:
        The params that read it: own topic, own archive with the registry.
    """
    params = _publish(params, name, say, **changes)
    if PromotionHistory(params).champion() is None:
        few = min(MODEL_EVENTS, _MODEL_SHARE * params.simulator.events)
        serve(params, model(params, say, few))
    return params


def serve(params: Params, bundle: Path) -> None:
    """Make a model the champion of every window."""
    promotions = PromotionHistory(params)
    promotions.keep("1", bundle)
    promotions.promote("1", datetime(2020, 1, 1, tzinfo=UTC))


@contextmanager
def own_stores(base: Params, name: str, bundle: Path | None = None) -> Iterator[Params]:
    """Give a run a dataset, a database and an archive of its own, with a model.

    They are removed afterwards. Without ``bundle`` the model is that of ``prepare``.
    """
    unique = f"bench_{name}_{time.time_ns() // 1_000_000}"
    params = base.replace(
        profile="bench-" + name.replace("_", "-"),
        dataset=unique,
        mongo_database=unique,
        archive=f"{base.cloud.archive}-{unique}",
    )
    serve(params, bundle or PromotionHistory(base).bundle("1").path)
    warehouse.ensure_dataset(params)
    try:
        yield params
    finally:
        shutil.rmtree(params.cloud.archive)
        mongo.client(params).drop_database(unique)
        bigquery.client(params).delete_dataset(unique, delete_contents=True)


def _publish(params: Params, name: str, say: Progress, **changes: Any) -> Params:
    own = {
        "topic": f"bench-{name}",
        "archive": str(paths.state_dir() / "bench" / name),
        "source": "simulator",
    }
    params = params.replace(**(own | changes))
    say(f"Publicando {number(params.simulator.events)} eventos en {params.kafka.topic}")
    sources.ingest_simulator(params)
    return params


def model(params: Params, say: Progress, events: int = MODEL_EVENTS) -> Path:
    """Train as notebook 04 does on a log of that many events, once; return the bundle."""
    params = _publish(params, f"model-{events}", say, simulator_events=events)
    folder = Path(params.cloud.archive) / "bundle"
    if not (folder.exists() and _fitted(folder).exists()):
        say("Entrenando un modelo")
        built = plain_features(read(params), params)
        end = built["window_start"].max()
        assert isinstance(end, datetime)
        levels = (params.model.level_alta, params.model.level_media)
        known = labels.label(
            built,
            params.model.horizon,
            Windowing.of(params.windows),
            end + params.windows.window,
            levels,
        )
        few = params.replace(bootstrap_repetitions=20)
        result = train(few, built, known, card.write)
        result.write_bundle(folder)
        joblib.dump(result.model, _fitted(folder))
    return folder


def fitted(params: Params, say: Progress) -> Path:
    """Return the file with the same model as scikit-learn fitted it: a ``LevelModel``."""
    return _fitted(model(params, say))


def _fitted(bundle: Path) -> Path:
    return bundle.with_name("fitted.joblib")


def read(params: Params) -> pl.DataFrame:
    """Return the whole topic as one batch in memory, in the order in which it is consumed."""
    extents = kafka.offsets(params)
    reader = KafkaReader(params, {p: low for p, (low, _) in extents.items()})
    left = sum(high - low for low, high in extents.values())
    batches = []
    while left:
        batches.append(reader.poll())
        left -= batches[-1].height
    reader.close()
    return pl.concat(batches)


def plain_features(log: pl.DataFrame, params: Params) -> pl.DataFrame:
    """Return the features of every window of a log: plain polars, no pipeline."""
    start = dict.fromkeys(range(params.kafka.partitions))
    marked, _ = watermark.mark(
        decode(log, Ahead.of(params.windows)), start, params.windows.allowed_lateness
    )
    return features_of(marked, params)


def features_of(marked: pl.DataFrame, params: Params) -> pl.DataFrame:
    """Return the features of every window of a marked log."""
    windowing = Windowing.of(params.windows)
    timely = steps.events(marked, windowing).filter(~pl.col("late"))
    unique, _ = features.dedup(timely)
    return features.reference(unique, windowing, features.Inputs.of(params.windows))


@dataclass(frozen=True)
class Run:
    """What a run of a job gave and took."""

    counts: dict[str, int]
    seconds: float
    cpu: float
    """Of this process: the job's source, steps and sinks, and the bounded runner."""


def timed(work: Callable[[], dict[str, int]]) -> Run:
    """Do some work and say what it took."""
    before, began = os.times(), time.perf_counter()
    counts = work()
    seconds, after = time.perf_counter() - began, os.times()
    return Run(counts, seconds, after.user + after.system - before.user - before.system)


def bounded(
    params: Params, extents: Extents, source: type[LogSource] = LogSource, archive: bool = False
) -> Run:
    """Run the project's graph on FnApiRunner, cut as bounded jobs are (``windows_per_element``)."""
    shape = steps.Shape.of(params.windows, params.stream.windows_per_element)
    return _run(params, FnApiRunner(), PipelineOptions([]), shape, extents, source, archive)


def streaming(params: Params, extents: Extents, windows: int) -> Run:
    """Run the project's graph as a streaming job on Prism, ``windows`` an element."""
    shape = steps.Shape.of(params.windows, windows)
    return _run(params, prism.runner(), prism.options(), shape, extents, LogSource, False)


def _run(
    params: Params,
    runner: Any,
    options: Any,
    shape: steps.Shape,
    extents: Extents,
    source: type[LogSource],
    archive: bool,
) -> Run:
    start = start_of_log({p: low for p, (low, _) in extents.items()})
    ends = {p: high for p, (_, high) in extents.items()}
    job = f"bench-{time.monotonic_ns()}"
    tracked = checkpoint.Tracker(job, start, shape, raw=0)
    measured.reset(job)
    sinks = graph.Sinks([measured.CountRaw(params)], measured.CountWindows())

    def work() -> dict[str, int]:
        pipeline = beam.Pipeline(runner, options)
        graph.build(pipeline, source(tracked, params, shape, archive), start, sinks, ends)
        pipeline.run().wait_until_finish()
        return measured.counts(job)

    return timed(work)


def figure(
    name: str, value: float, unit: str, baseline: float | None = None, digits: int = 0
) -> dict[str, Any]:
    """Return a figure in the common form; its ratio is to the baseline."""
    ratio = None if baseline is None else round(value / baseline, 3)
    rounded = [round(x, digits) if digits else round(x) for x in (value, baseline or 0)]
    return {
        "name": name,
        "value": rounded[0],
        "unit": unit,
        "baseline": None if baseline is None else rounded[1],
        "ratio": ratio,
    }
