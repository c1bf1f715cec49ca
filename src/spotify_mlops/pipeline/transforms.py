"""The PTransforms around the functions of ``steps``, under the same names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import apache_beam as beam
import polars as pl
from apache_beam.transforms.window import FixedWindows, TimestampedValue
from apache_beam.typehints.native_type_compatibility import convert_to_beam_type
from apache_beam.utils.timestamp import Duration, Timestamp

from ..domain.windows import EPOCH
from . import coder as coder  # registers the coder of frames
from . import steps

ByKey = tuple[int, pl.DataFrame]
Rows = tuple[int, datetime, pl.DataFrame, pl.DataFrame]
"""Shard, pane end, features, counters."""


def _windowed(shape: steps.Shape) -> beam.WindowInto:
    panes = shape.panes
    return beam.WindowInto(
        FixedWindows(
            Duration(micros=int(panes.length.total_seconds() * 1_000_000)),
            Timestamp(micros=int(panes.offset.total_seconds() * 1_000_000)),
        )
    )


def _emit(pieces: Iterable[steps.Piece], shape: steps.Shape) -> Iterator[TimestampedValue]:
    for key, pane, frame in pieces:
        yield TimestampedValue((key, frame), Timestamp(micros=shape.pane_time(pane)))


def typed(outputs: beam.pvalue.DoOutputsTuple, **element_types: Any) -> beam.pvalue.DoOutputsTuple:
    """Say of what type each tagged output is; Beam would take Any, and pickle the frames."""
    for tag, element_type in element_types.items():
        outputs[tag].element_type = convert_to_beam_type(element_type)
    return outputs


class _Step(beam.PTransform):
    def __init__(self, shape: steps.Shape) -> None:
        super().__init__()
        self._shape = shape


class _ByShardDoFn(beam.DoFn):
    def __init__(self, shape: steps.Shape) -> None:
        self._shape = shape

    def process(self, marked: pl.DataFrame) -> Iterator[TimestampedValue]:
        events = steps.events(marked, self._shape.windowing)
        yield from _emit(steps.by_shard(events, self._shape), self._shape)


class ByShard(_Step):
    """``steps.by_shard``: marked batches to (shard, events in time), one pane an element."""

    def expand(self, marked: beam.PCollection) -> beam.PCollection:
        """Apply to marked batches."""
        return marked | beam.ParDo(_ByShardDoFn(self._shape)).with_output_types(ByKey)


class _SummariseDoFn(beam.DoFn):
    COUNTERS = "counters"

    def __init__(self, shape: steps.Shape) -> None:
        self._shape = shape

    def process(
        self,
        element: tuple[int, Iterable[pl.DataFrame]],
    ) -> Iterator[Any]:
        shard, frames = element
        aggregates, counters = steps.summarise(frames, self._shape)
        yield from _emit(steps.by_pane(aggregates, self._shape), self._shape)
        # Even when empty: the last stage acknowledges a shard's windows when it sees this.
        yield beam.pvalue.TaggedOutput(self.COUNTERS, (shard, counters))


class Summarise(_Step):
    """``steps.summarise``: (shard, pieces) to aggregates by pane and (shard, counters)."""

    def expand(self, pieces: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        """Apply to the pieces of ``ByShard`` and of the source's closings."""
        do = _SummariseDoFn(self._shape)
        outputs = (
            pieces
            | _windowed(self._shape)
            | beam.GroupByKey()
            | beam.ParDo(do).with_outputs(_SummariseDoFn.COUNTERS, main="aggregates")
        )
        return typed(outputs, aggregates=ByKey, counters=ByKey)


class _RankDoFn(beam.DoFn):
    def __init__(self, shape: steps.Shape) -> None:
        self._shape = shape

    def process(self, element: tuple[int, Iterable[pl.DataFrame]]) -> Iterator[TimestampedValue]:
        yield from _emit(steps.rank(element[1], self._shape), self._shape)


class Rank(_Step):
    """``steps.rank``: the aggregates of a pane to (shard, ranked and carried rows)."""

    def expand(self, aggregates: beam.PCollection) -> beam.PCollection:
        """Apply to the main output of ``Summarise``."""
        return (
            aggregates
            | beam.GroupByKey()
            | beam.ParDo(_RankDoFn(self._shape)).with_output_types(ByKey)
        )


class _BuildDoFn(beam.DoFn):
    def __init__(self, shape: steps.Shape, write_from: datetime | None) -> None:
        self._shape = shape
        self._write_from = write_from

    def process(
        self,
        element: tuple[int, Iterable[pl.DataFrame]],
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterator[Rows]:
        shard, frames = element
        end = EPOCH + timedelta(microseconds=window.end.micros)
        written = self._write_from is not None and end <= self._write_from
        frames = list(frames)
        if not written and any("lag" not in frame.columns for frame in frames):
            # Else it is written already, or only copies reach it.
            yield shard, end, *steps.build(frames, self._shape, self._write_from)


class Build(_Step):
    """``steps.build``: (shard, rows and counters) to (shard, pane end, features, counters)."""

    def __init__(self, shape: steps.Shape, write_from: datetime | None) -> None:
        super().__init__(shape)
        self._write_from = write_from

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        """Apply to the output of ``Rank`` flattened with the counters of ``Summarise``."""
        do = beam.ParDo(_BuildDoFn(self._shape, self._write_from)).with_output_types(Rows)
        return rows | _windowed(self._shape) | beam.GroupByKey() | do
