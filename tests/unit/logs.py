"""Small logs for tests, and a source that reads one without a broker."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import apache_beam as beam
import polars as pl
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from spotify_mlops.events import LOG_COLUMNS, encode, encode_heartbeat
from spotify_mlops.pipeline import graph, progress, steps
from spotify_mlops.pipeline.source import LogSource

BASE = datetime(2026, 1, 5, tzinfo=UTC)
APPENDED = datetime(2026, 6, 1, tzinfo=UTC)

_logs: dict[str, pl.DataFrame] = {}
_outputs: dict[str, list[Any]] = {}
"""Logs and outputs by job: DoFns are pickled, so they find these by name."""


def random_events(count: int, seconds: int, seed: int, tracks: int = 40) -> pl.DataFrame:
    """Return events in nearly increasing event time over ``seconds``."""
    draw = random.Random(seed)
    rows = [
        (
            f"e{seed}-{number}",
            BASE + timedelta(seconds=number * seconds / count + draw.uniform(0, 60)),
            draw.choice(["play", "play", "play", "skip", "search_result", "recommendation"]),
            draw.choice(["CO", "ES", "MX", "US"]),
            f"t{int(draw.paretovariate(0.9)) % tracks}",
            draw.choice([1, 1, 1, 5]),
            "test",
        )
        for number in range(count)
    ]
    return pl.DataFrame(
        rows,
        schema={
            "event_id": pl.String,
            "event_time": pl.Datetime("us", "UTC"),
            "event_type": pl.String,
            "country": pl.String,
            "track_id": pl.String,
            "count": pl.Int64,
            "source": pl.String,
        },
        orient="row",
    )


def to_log(
    values: list[bytes], partitions: list[int], last: datetime | None, count: int = 4
) -> pl.DataFrame:
    """Append records to a log, with a heartbeat of ``last`` in each partition at its end."""
    following = [0] * count
    records = []
    beats = [] if last is None else [(p, encode_heartbeat(last)) for p in range(count)]
    for partition, value in [*zip(partitions, values, strict=True), *beats]:
        records.append((partition, following[partition], APPENDED, value))
        following[partition] += 1
    return pl.DataFrame(records, schema=LOG_COLUMNS, orient="row")


def event_log(events: pl.DataFrame, last: datetime | None, count: int = 4) -> pl.DataFrame:
    """Append events to a log, a track always in the same partition."""
    partitions = [steps.shard_of(track, count) for track in events["track_id"]]
    return to_log(encode(events), partitions, last, count)


class LogReader:
    """Reads a log that is in memory."""

    def __init__(self, log: pl.DataFrame, offsets: Mapping[int, int], size: int) -> None:
        first = pl.col("partition").replace_strict(list(offsets), list(offsets.values()))
        self._left = log.filter(pl.col("offset") >= first)
        self._size = size

    def poll(self) -> pl.DataFrame:
        batch, self._left = self._left[: self._size], self._left[self._size :]
        return batch

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class MemorySource(LogSource):
    """Reads the log registered under the job's name."""

    def open(self, offsets: Mapping[int, int]) -> LogReader:
        return LogReader(_logs[self.job], offsets, self.params.batch_records)


class _CollectDoFn(beam.DoFn):
    def __init__(self, job: str) -> None:
        self._job = job

    def process(self, element: Any) -> Iterator[Any]:
        _, _, features, counters, _ = element
        _outputs[self._job].append((features, counters))
        yield from ()


@dataclass(frozen=True)
class Collect:
    """A window sink that keeps what it gets."""

    def dofn(self, job: str) -> beam.DoFn:
        return _CollectDoFn(job)


def run_graph(
    job: str,
    log: pl.DataFrame,
    params: Any,
    shape: steps.Shape,
    runner: Any = None,
    options: Any = None,
    start: progress.Position | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame, progress.Progress]:
    """Run the graph over a log; return features, counters and progress."""
    ends = dict(log.group_by("partition").agg(pl.col("offset").max() + 1).iter_rows())
    start = start or progress.start_of_log(dict.fromkeys(ends, 0))
    kept = progress.Progress(start, shape.windowing, shape.lags, shape.shards, raw=0)
    progress.register(job, kept)
    _logs[job], _outputs[job] = log, []
    pipeline = beam.Pipeline(runner or FnApiRunner(), options or PipelineOptions([]))
    source = MemorySource(job, params, shape)
    graph.build(pipeline, source, start, graph.Sinks([], Collect()), ends)
    pipeline.run().wait_until_finish()
    features = pl.concat([features for features, _ in _outputs[job]])
    counters = pl.concat([counters for _, counters in _outputs[job]])
    return (
        features.sort("window_start", "country", "track_id"),
        counters.sort("window_start", "shard", "log_partition"),
        kept,
    )
