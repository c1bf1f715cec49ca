"""The graph: one for live, replay and training. Only source, sinks and runner differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import apache_beam as beam
import polars as pl

from ..io.patches import beam as beam_patch
from ..io.patches import malloc
from . import checkpoint, steps, transforms
from .predict import Predict
from .source import CLOSED, LogSource, ReadLog


class RawSink(Protocol):
    """Takes marked batches; acknowledges records."""

    @property
    def name(self) -> str:
        """Name the sink within its job."""

    def dofn(self, job: str) -> beam.DoFn:
        """Return the DoFn that writes; it is fused with the source."""


class WindowSink(Protocol):
    """Takes the rows of closed windows; acknowledges windows."""

    def dofn(self, job: str) -> beam.DoFn:
        """Return the DoFn that writes (shard, pane end, features, counters, predictions)."""


@dataclass(frozen=True)
class Sinks:
    """Where the results go."""

    raw: Sequence[RawSink]
    windows: WindowSink


class _FreshDoFn(beam.DoFn):
    def __init__(self, acknowledged: Mapping[int, int]) -> None:
        self._acknowledged = dict(acknowledged)

    def process(self, marked: pl.DataFrame) -> Iterator[pl.DataFrame]:
        yield steps.at_or_after(marked, self._acknowledged)


def build(
    pipeline: Any,
    source: LogSource,
    start: checkpoint.Position,
    sinks: Sinks,
    ends: Mapping[int, int] | None = None,
) -> None:
    """Put the whole graph into a pipeline.

    Args:
        pipeline: a Beam pipeline.
        source: what to read.
        start: from where.
        sinks: where results go. Raw sinks see each record at or after ``start.acknowledged``.
        ends: per partition the offset to stop at; None reads for ever.
    """
    beam_patch.let_go_of_bundles()
    malloc.keep_memory()
    log = pipeline | "ReadLog" >> ReadLog(source, start, ends)
    process(log.marked, log[CLOSED], source, start, sinks)


def process(
    marked: beam.PCollection,
    closed: beam.PCollection,
    source: LogSource,
    start: checkpoint.Position,
    sinks: Sinks,
) -> None:
    """Put what follows the source into a pipeline; ``marked`` and ``closed`` are its outputs."""
    shape = source.shape
    unwritten = beam.ParDo(_FreshDoFn(start.acknowledged)).with_output_types(pl.DataFrame)
    fresh = marked | "Fresh" >> unwritten
    for sink in sinks.raw:
        _ = fresh | f"Write{sink.name}" >> beam.ParDo(sink.dofn(source.job))

    timely = marked | "ByShard" >> transforms.ByShard(shape)
    summary = (
        (timely, closed) | "Pieces" >> beam.Flatten() | "Summarise" >> transforms.Summarise(shape)
    )
    ranked = summary.aggregates | "Rank" >> transforms.Rank(shape)
    writing = beam.ParDo(sinks.windows.dofn(source.job)).with_output_types(tuple[int, int])
    written = (
        (ranked, summary.counters)
        | "Rows" >> beam.Flatten()
        | "Build" >> transforms.Build(shape, start.write_from)
        | "Predict" >> Predict(source.params)
        | "WriteWindows" >> writing
    )
    # Nothing comes out. But while a stage without outputs works, Prism's loop over its bundle
    # never rests (Execute in its stage.go): half a core for as long as a sink waits for a store.
    _ = written | "Written" >> beam.GroupByKey()
