"""Small logs for tests, and a source that reads one without a broker."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import apache_beam as beam
import polars as pl
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from spotify_mlops.domain.events import LOG_COLUMNS, Ahead, decode, encode, encode_heartbeat
from spotify_mlops.domain.schemas import CROSSING_SCHEMA
from spotify_mlops.domain.watermark import mark
from spotify_mlops.pipeline import checkpoint, graph, steps
from spotify_mlops.pipeline.crossings import crossings, places
from spotify_mlops.pipeline.job import Job
from spotify_mlops.pipeline.position import Position, start_of_log
from spotify_mlops.pipeline.sinks.buffered import BufferedDoFn
from spotify_mlops.pipeline.source import LogSource

BASE = datetime(2026, 1, 5, tzinfo=UTC)
APPENDED = datetime(2026, 6, 1, tzinfo=UTC)

_logs: dict[str, pl.DataFrame] = {}
_batches: dict[str, list[pl.DataFrame]] = {}
_outputs: dict[str, list[Output]] = {}
"""Logs and outputs by job: DoFns are pickled, so they find these by name."""
_numbers = itertools.count()


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
    values: Iterable[bytes], partitions: list[int], last: datetime | None, count: int = 4
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
    partitions = (steps.slot_of(events["track_id"]) % count).to_list()
    return to_log(encode(events), partitions, last, count)


class LogReader:
    """Reads a log that is in memory."""

    def __init__(self, log: pl.DataFrame, offsets: Mapping[int, int], size: int) -> None:
        own = log.filter(pl.col("partition").is_in(list(offsets)))
        first = pl.col("partition").replace_strict(list(offsets), list(offsets.values()))
        self._left = own.filter(pl.col("offset") >= first)
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
        return LogReader(_logs[self.job.name], offsets, self.params.stream.batch_records)


class _CollectRawDoFn(BufferedDoFn):
    def __init__(self, job: Job) -> None:
        super().__init__(job, "Collect", 0)

    def gather(self, marked: pl.DataFrame) -> bool:
        _batches[self._job.name].append(marked)
        return False


@dataclass(frozen=True)
class CollectRaw:
    """A raw sink that keeps what it gets and acknowledges nothing."""

    name: str = "Collect"

    def dofn(self, job: Job) -> BufferedDoFn:
        return _CollectRawDoFn(job)


class _CollectDoFn(beam.DoFn):
    def __init__(self, job: Job) -> None:
        self._job = job.name

    def process(self, element: Any) -> None:
        shard, end, features, counters, _ = element
        _outputs[self._job].append(Output(shard, end, features, counters))


@dataclass(frozen=True)
class Collect:
    """A window sink that keeps what it gets and acknowledges nothing."""

    def dofn(self, job: Job) -> beam.DoFn:
        return _CollectDoFn(job)


@dataclass(frozen=True)
class Output:
    """What a window sink gets at once."""

    shard: int
    end: datetime
    features: pl.DataFrame
    counters: pl.DataFrame


@dataclass(frozen=True)
class Run:
    """What one run of the graph gave its sinks, in that order."""

    batches: list[pl.DataFrame]
    outputs: list[Output]
    progress: checkpoint.Tracker

    @property
    def records(self) -> pl.DataFrame:
        """The marked records, sorted by position."""
        return records_of(self.batches)

    @property
    def features(self) -> pl.DataFrame:
        """The features, sorted by key."""
        return features_of(self.outputs)

    @property
    def counters(self) -> pl.DataFrame:
        """The counters, sorted by key."""
        return counters_of(self.outputs)


def records_of(batches: list[pl.DataFrame]) -> pl.DataFrame:
    """Return marked batches as a table without the records that it has twice."""
    return pl.concat(batches).unique(["partition", "offset"]).sort("partition", "offset")


def features_of(outputs: list[Output]) -> pl.DataFrame:
    """Return outputs as the view shows them: each row key once, sorted."""
    key = ["window_start", "country", "track_id"]
    rows = pl.concat([output.features for output in outputs]).unique()
    assert rows.select(key).is_unique().all()  # what is written twice is equal
    return rows.sort(key)


def counters_of(outputs: list[Output]) -> pl.DataFrame:
    """Return outputs as the view shows them: each counter once, sorted."""
    key = ["window_start", "shard", "log_partition"]
    rows = pl.concat([output.counters for output in outputs]).unique()
    assert rows.select(key).is_unique().all()
    return rows.sort(key)


@contextmanager
def collecting(
    log: pl.DataFrame, params: Any, shape: steps.Shape, start: Position
) -> Iterator[tuple[MemorySource, graph.Sinks, Run]]:
    """Give a source of a log, sinks for a pipeline that reads it, and what they have got so far."""
    job = f"job-{next(_numbers)}"
    kept = checkpoint.Tracker(job, start, shape, raw=1)
    nothing = Output(0, BASE, *(frame.clear() for frame in steps.build([], shape)))
    empty = mark(
        decode(log.clear(), Ahead.of(params.windows)), kept.marks, params.windows.allowed_lateness
    )[0]
    _logs[job], _batches[job], _outputs[job] = log, [empty], [nothing]
    listens = kept if shape.sources == 1 else Job(job)
    source = MemorySource(listens, params, shape)
    sinks = graph.Sinks([CollectRaw()], Collect())
    try:
        yield source, sinks, Run(_batches[job], _outputs[job], kept)
    finally:
        del _logs[job], _batches[job], _outputs[job]


def run_graph(
    log: pl.DataFrame,
    params: Any,
    shape: steps.Shape,
    partitions: int = 4,
    start: Position | None = None,
    ends: Mapping[int, int] | None = None,
) -> Run:
    """Run the graph over a log, from ``start`` to ``ends`` (of all of it)."""
    start = start or start_of_log(dict.fromkeys(range(partitions), 0))
    ends = dict(ends or ends_of(log, partitions))
    with collecting(log, params, shape, start) as (source, sinks, run):
        pipeline = beam.Pipeline(FnApiRunner(), PipelineOptions([]))
        graph.build(pipeline, source, start, sinks, ends)
        pipeline.run().wait_until_finish()
    return run


def read_again(position: Position, written: list[pl.DataFrame], cut: steps.Shape) -> Position:
    """Return from where the windows that a position lacks are read, by the written batches."""
    if position.write_from is None:
        return position
    rows = [crossings(batch, cut.windowing) for batch in written]
    found = pl.concat([pl.DataFrame(schema=CROSSING_SCHEMA), *rows])
    needed = position.write_from - max(cut.lags, default=0) * cut.windowing.length
    held = pl.col("log_partition").replace_strict(position.held, return_dtype=pl.Int64)
    reaching = _extremes(found.filter(pl.col("window_start") >= needed), first=True)
    before = _extremes(found.filter(pl.col("log_offset") <= held), first=False)
    offsets, marks = places(reaching, position.held, before)
    return replace(position, offsets=offsets, marks=marks)


def _extremes(rows: pl.DataFrame, first: bool) -> pl.DataFrame:
    ordered = rows.sort("log_offset", descending=not first)
    return ordered.unique("log_partition", keep="first", maintain_order=True)


def ends_of(log: pl.DataFrame, partitions: int) -> dict[int, int]:
    """Return per partition the record that would follow its last."""
    last = dict(log.group_by("partition").agg(pl.col("offset").max()).iter_rows())
    return {partition: last.get(partition, -1) + 1 for partition in range(partitions)}
