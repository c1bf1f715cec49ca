"""The PTransforms around the functions of ``steps``, under the same names, and their composite."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import apache_beam as beam
import polars as pl
from apache_beam.pvalue import DoOutputsTuple, PCollection
from apache_beam.transforms.window import FixedWindows, TimestampedValue
from apache_beam.typehints.native_type_compatibility import convert_to_beam_type
from apache_beam.utils.timestamp import Duration, Timestamp

from ..config.params import Params
from ..domain.windows import EPOCH
from . import coder as coder  # registers the coder of frames
from . import metrics, steps
from .predict import Champions

ByKey = tuple[int, pl.DataFrame]
Rows = tuple[int, datetime, pl.DataFrame, pl.DataFrame]
"""Shard, bucket end, features, counters."""
PredictedRows = tuple[int, datetime, pl.DataFrame, pl.DataFrame, pl.DataFrame]
"""The same, and predictions."""
COUNTERS = "counters"


def _windowed(shape: steps.Shape) -> beam.WindowInto:
    windowing = shape.windowing
    return beam.WindowInto(
        FixedWindows(
            Duration(micros=windowing.length // timedelta(microseconds=1)),
            Timestamp(micros=windowing.offset // timedelta(microseconds=1)),
        )
    )


def stamped(pieces: Iterable[steps.Piece], shape: steps.Shape) -> Iterator[TimestampedValue[ByKey]]:
    """Yield pieces as elements of Beam: keyed, at the end of their bucket."""
    for key, bucket, frame in pieces:
        yield TimestampedValue((key, frame), Timestamp(micros=shape.bucket_time(bucket)))


def typed(outputs: DoOutputsTuple, **element_types: Any) -> DoOutputsTuple:
    """Say of what type each tagged output is; Beam would take Any, and pickle the frames."""
    for tag, element_type in element_types.items():
        outputs[tag].element_type = convert_to_beam_type(element_type)
    return outputs


@dataclass(eq=False)
class Summarise(beam.PTransform[Any, Any]):
    """``steps.summarise``: (shard, pieces) to aggregates by bucket and (shard, counters)."""

    shape: steps.Shape

    def expand(self, pieces: Any) -> DoOutputsTuple:
        """Apply to the pieces of ``steps.by_shard`` and ``steps.closing``."""
        outputs = (
            pieces
            | _windowed(self.shape)
            | beam.GroupByKey()
            | beam.FlatMap(_summarise, self.shape).with_outputs(COUNTERS, main="aggregates")
        )
        return typed(outputs, aggregates=ByKey, counters=ByKey)


def _summarise(element: tuple[int, Iterable[pl.DataFrame]], shape: steps.Shape) -> Iterator[Any]:
    shard, frames = element
    summary = steps.summarise(frames, shape)
    if summary is None:
        return
    aggregates, counters = summary
    metrics.count("duplicates", int(counters["duplicates"].sum()))
    yield from stamped(steps.by_bucket(aggregates, shape), shape)
    # Even when empty: a shard's windows are written when the last stage has seen this.
    yield beam.pvalue.TaggedOutput(COUNTERS, (shard, counters))


@dataclass(eq=False)
class Rank(beam.PTransform[Any, Any]):
    """``steps.rank``: the aggregates of a bucket to (shard, ranked and carried rows)."""

    shape: steps.Shape

    def expand(self, aggregates: Any) -> Any:
        """Apply to the main output of ``Summarise``."""
        ranking = beam.FlatMap(_rank, self.shape).with_output_types(ByKey)
        return aggregates | beam.GroupByKey() | ranking


def _rank(
    element: tuple[int, Iterable[pl.DataFrame]], shape: steps.Shape
) -> Iterator[TimestampedValue[ByKey]]:
    aggregates = pl.concat(element[1])
    metrics.count("windows", aggregates["window_start"].n_unique())
    yield from stamped(steps.rank(aggregates, shape), shape)


@dataclass(eq=False)
class Build(beam.PTransform[Any, Any]):
    """``steps.build``: (shard, rows and counters) to (shard, bucket end, features, counters)."""

    shape: steps.Shape
    write_from: datetime | None = None

    def expand(self, rows: Any) -> Any:
        """Apply to the output of ``Rank`` flattened with the counters of ``Summarise``."""
        building = beam.FlatMap(_build, self.shape, self.write_from).with_output_types(Rows)
        return rows | _windowed(self.shape) | beam.GroupByKey() | building


def _build(
    element: tuple[int, Iterable[pl.DataFrame]],
    shape: steps.Shape,
    write_from: datetime | None,
    window: Any = beam.DoFn.WindowParam,
) -> Iterator[Rows]:
    shard, frames = element
    end = EPOCH + timedelta(microseconds=window.end.micros)
    written = write_from is not None and end <= write_from
    frames = list(frames)
    if not written and any("lag" not in frame.columns for frame in frames):
        # Else it is written already, or only copies reach it.
        features, counters = steps.build(frames, shape, write_from)
        metrics.count("rows", features.height)
        yield shard, end, features, counters


class _PredictDoFn(beam.DoFn):
    def __init__(self, params: Params) -> None:
        self._params = params

    def setup(self) -> None:
        self._champions = Champions(self._params)

    def process(self, rows: Rows) -> Iterator[PredictedRows]:
        shard, end, features, counters = rows
        predictions = self._champions.predict(features)
        metrics.count("predictions", predictions.height)
        yield shard, end, features, counters, predictions


@dataclass(eq=False)
class Predict(beam.PTransform[Any, Any]):
    """Adds the champions' predictions to the rows of ``Build``."""

    params: Params

    def expand(self, rows: Any) -> Any:
        """Apply to the output of ``Build``."""
        return rows | beam.ParDo(_PredictDoFn(self.params)).with_output_types(PredictedRows)


class Processed(NamedTuple):
    """What ``ProcessEvents`` makes, and on the way to it."""

    aggregates: PCollection[Any]
    """(key, ``AGGREGATE_SCHEMA``) of closed windows, a bucket each."""
    counters: PCollection[Any]
    """(shard, ``COUNTED_SCHEMA``) of closed windows."""
    rows: PCollection[Any]
    """`PredictedRows` of closed windows: what a window sink takes."""


@dataclass(eq=False)
class ProcessEvents(beam.PTransform[Any, Any]):
    """What lies between the sources and the sinks: events by shard to rows with predictions.

    It knows of no log, no runner and no store. Its input are the pieces of ``steps.by_shard`` and
    of ``steps.closing`` keyed by shard, from as many sources as ``shape.sources`` says.

    Attributes:
        shape: how the work is cut.
        params: whose champions predict.
        write_from: earlier windows are left out of the rows (see ``steps.build``).
    """

    shape: steps.Shape
    params: Params
    write_from: datetime | None = None

    def expand(self, pieces: Any) -> Processed:
        """Apply to the pieces of all sources."""
        summary = pieces | "Summarise" >> Summarise(self.shape)
        ranked = summary.aggregates | "Rank" >> Rank(self.shape)
        rows = (
            (ranked, summary.counters)
            | "Rows" >> beam.Flatten()
            | "Build" >> Build(self.shape, self.write_from)
            | "Predict" >> Predict(self.params)
        )
        return Processed(summary.aggregates, summary.counters, rows)
