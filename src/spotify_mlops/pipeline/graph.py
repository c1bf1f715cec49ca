"""The graph: one for live, replay and training. Only source, sinks and runner differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import apache_beam as beam
import polars as pl

from ..io.patches import beam as beam_patch
from ..io.patches import malloc
from . import steps
from .job import Job
from .position import Position
from .sinks.buffered import BufferedDoFn, InOrderDoFn
from .source import PIECES, LogSource, ReadLog
from .transforms import ProcessEvents


class RawSink(Protocol):
    """Takes marked batches; acknowledges records."""

    @property
    def name(self) -> str:
        """Name the sink within its job."""

    def dofn(self, job: Job) -> BufferedDoFn:
        """Return the DoFn that writes; it is fused with the source."""


class WindowSink(Protocol):
    """Takes the rows of closed windows; acknowledges windows."""

    def dofn(self, job: Job) -> beam.DoFn:
        """Return the DoFn that writes (shard, bucket end, features, counters, predictions)."""


@dataclass(frozen=True)
class Sinks:
    """Where the results go.

    Where the job does not hold rows, each bundle's records go to the last of the raw sinks when
    the others have them.
    """

    raw: Sequence[RawSink]
    windows: WindowSink


def build(
    pipeline: Any,
    source: LogSource,
    start: Position,
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
    beam_patch.apply()
    malloc.keep_memory()
    log = pipeline | "ReadLog" >> ReadLog(source, start, ends)
    process(log.marked, log[PIECES], source, start, sinks)


def process(marked: Any, pieces: Any, source: LogSource, start: Position, sinks: Sinks) -> None:
    """Put what follows the source into a pipeline; ``marked`` and ``pieces`` are its outputs."""
    unwritten = beam.Map(steps.at_or_after, dict(start.acknowledged))
    fresh = marked | "Fresh" >> unwritten.with_output_types(pl.DataFrame)
    if source.job.holds:
        for sink in sinks.raw:
            _ = fresh | f"Write{sink.name}" >> beam.ParDo(sink.dofn(source.job))
    else:
        raw = InOrderDoFn([sink.dofn(source.job) for sink in sinks.raw])
        _ = fresh | "WriteRecords" >> beam.ParDo(raw)
    processing = ProcessEvents(source.shape, source.params, start.write_from)
    processed = pieces | "ProcessEvents" >> processing
    writing = beam.ParDo(sinks.windows.dofn(source.job)).with_output_types(tuple[int, int])
    written = processed.rows | "WriteWindows" >> writing
    # Nothing comes out. But while a stage without outputs works, Prism's loop over its bundle
    # never rests (Execute in its stage.go): half a core for as long as a sink waits for a store.
    _ = written | "Written" >> beam.GroupByKey()
