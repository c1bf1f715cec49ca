"""Prediction inside the graph, with the model that is champion at each window."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import apache_beam as beam
import polars as pl

from ..features.schema import Schema
from ..model.predictor import Predictor
from ..model.registry import Registry
from ..params import Params
from .transforms import Rows

PREDICTION_SCHEMA: Schema = {
    "window_start": pl.Datetime("us", "UTC"),
    "country": pl.String,
    "track_id": pl.String,
    "level": pl.String,
    "score": pl.Float64,
    "p_alta": pl.Float64,
    "p_media": pl.Float64,
    "p_baja": pl.Float64,
    "model": pl.String,
    "horizon": pl.Int64,
}

PredictedRows = tuple[int, datetime, pl.DataFrame, pl.DataFrame, pl.DataFrame]


class Champions:
    """The registered champions, each from the window on at which it took over."""

    def __init__(self, params: Params) -> None:
        """Look at the registry; models are loaded when a window needs them."""
        self._registry = Registry(params)
        self._horizon = params.horizon
        self._loaded: dict[str, Predictor] = {}

    def predict(self, features: pl.DataFrame) -> pl.DataFrame:
        """Predict the rows whose window has a champion; ``PREDICTION_SCHEMA``."""
        schedule = sorted(self._registry.schedule())
        parts = [pl.DataFrame(schema=PREDICTION_SCHEMA)]
        for index, (start, version) in enumerate(schedule):
            mine = pl.col("window_start") >= start
            if index + 1 < len(schedule):
                mine &= pl.col("window_start") < schedule[index + 1][0]
            rows = features.filter(mine)
            if rows.height:
                parts.append(self._with(version, rows))
        return pl.concat(parts).sort("window_start", "country", "track_id")

    def _with(self, version: str, rows: pl.DataFrame) -> pl.DataFrame:
        if version not in self._loaded:
            self._loaded[version] = Predictor.load(self._registry.bundle_path(version))
        predictor = self._loaded[version]
        predicted = rows.select("window_start", "country", "track_id").hstack(
            predictor.predict(rows)
        )
        return predicted.with_columns(
            model=pl.lit(predictor.name), horizon=pl.lit(self._horizon, pl.Int64)
        ).select(*PREDICTION_SCHEMA)


class _PredictDoFn(beam.DoFn):
    def __init__(self, params: Params) -> None:
        self._params = params

    def setup(self) -> None:
        self._champions = Champions(self._params)

    def process(self, rows: Rows) -> Iterator[PredictedRows]:
        shard, end, features, counters = rows
        yield shard, end, features, counters, self._champions.predict(features)


class Predict(beam.PTransform):
    """Adds the champions' predictions to the rows of ``Build``."""

    def __init__(self, params: Params) -> None:
        super().__init__()
        self._params = params

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        """Apply to the output of ``Build``."""
        return rows | beam.ParDo(_PredictDoFn(self._params)).with_output_types(PredictedRows)
