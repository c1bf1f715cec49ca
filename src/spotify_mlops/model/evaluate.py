"""Evaluating a training run: the gate's verdict, beside the champion, and its record."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from ..config.params import Params
from ..io.bigquery import appending, tables
from . import gate, metrics
from .gate import Verdict
from .promotions import PromotionHistory
from .training_result import TrainingResult


def evaluate(params: Params, result: TrainingResult, features: pl.DataFrame) -> Verdict:
    """Judge a run on its test range, where it can be by comparison with the champion.

    Args:
        params: the ``gate_*`` limits, and whose champion.
        result: of the training run.
        features: rows of ``spotify_features`` that cover its test range.

    Raises:
        IntegrityError: the champion's bundle is not what was registered.
        UserError: the features do not cover the test range.
    """
    champion = gate.champion_predictions(PromotionHistory(params), result, features)
    return gate.judge(result, params, champion)


def record(params: Params, result: TrainingResult, verdict: Verdict) -> None:
    """Append what a run scored, and the verdict on it, to ``spotify_model_metrics``."""
    now = datetime.now(UTC)
    for scored in (result.metrics, gate.metrics_of(verdict, result)):
        rows = metrics.metrics_rows(
            scored, run_id=result.run_id, model=params.model, written_at=now
        )
        appending.append(params, tables.MODEL_METRICS, rows)
