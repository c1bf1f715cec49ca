"""Prediction inside the graph, with the model that is champion at each window."""

from __future__ import annotations

import polars as pl

from ..config.params import Params
from ..domain.hashing import crc32
from ..domain.schemas import PREDICTION_SCHEMA, ROW_KEY
from ..model.predictor import Predictor
from ..model.promotions import PromotionHistory, ServingPeriod


class Champions:
    """The champions, each from the window on at which it took over."""

    def __init__(self, params: Params) -> None:
        """Models are loaded when a window needs them."""
        self._params = params
        self._promotions = PromotionHistory(params)
        self._loaded: dict[str, Predictor] = {}

    def predict(self, features: pl.DataFrame) -> pl.DataFrame:
        """Predict the rows whose window has a champion; ``PREDICTION_SCHEMA``.

        Raises:
            InputError: the champion's inputs are others than the features.
        """
        periods = self._promotions.periods()
        parts = [pl.DataFrame(schema=PREDICTION_SCHEMA)]
        for index, period in enumerate(periods):
            mine = pl.col("window_start") >= period.effective_from
            if index + 1 < len(periods):
                mine &= pl.col("window_start") < periods[index + 1].effective_from
            shares = _shared_out(features.filter(mine), period)
            parts += [self._with(version, rows) for version, rows in shares if rows.height]
        return pl.concat(parts).sort(ROW_KEY)

    def _with(self, version: str, rows: pl.DataFrame) -> pl.DataFrame:
        if version not in self._loaded:
            kept = self._promotions.bundle(version)
            kept.check_inputs(self._params.windows)
            self._loaded[version] = Predictor.load(kept)
        predictor = self._loaded[version]
        predicted = rows.select(ROW_KEY).hstack(self._answers(predictor, rows))
        return predicted.with_columns(
            model=pl.lit(predictor.name), horizon=pl.lit(self._params.model.horizon, pl.Int64)
        ).select(*PREDICTION_SCHEMA)

    def _answers(self, predictor: Predictor, rows: pl.DataFrame) -> pl.DataFrame:
        """Ask the endpoint, or the model here, as ``predictor`` says.

        The promotions decide which version predicts a window. Where another one answered (a
        canary has its share of the requests, a window may be an earlier champion's), the model
        here is asked: the tables are the same in both ways.
        """
        if self._params.stream.predictor == "in_process":
            return predictor.predict(rows)
        from ..model import client  # Google's client takes a second to import

        answered = client.predict_rows(self._params, rows, predictor.features)
        if answered.select((pl.col("model") == predictor.name).all()).item():
            return answered.drop("model")
        return predictor.predict(rows)


def _shared_out(rows: pl.DataFrame, period: ServingPeriod) -> list[tuple[str, pl.DataFrame]]:
    """Return the versions that predict in a period, each with its rows."""
    if period.canary is None:
        return [(period.version, rows)]
    mine = in_canary(rows, period.canary.share)
    return [(period.version, rows.filter(~mine)), (period.canary.version, rows.filter(mine))]


def in_canary(rows: pl.DataFrame, share: float) -> pl.Series:
    """Tell which rows a canary predicts: those of the same tracks in every window and run.

    A track is in when CRC-32 of ``country:track_id``, as a part of all its values, is below
    ``share``.

    Args:
        rows: with ``country`` and ``track_id``.
        share: of the tracks, 0-1.
    """
    keys = rows.select(pl.concat_str("country", "track_id", separator=":")).to_series()
    return (crc32(keys) < share * 2**32).alias("canary")
