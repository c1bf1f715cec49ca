"""What a model must beat: the commonest level, the level of today, a straight line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from ..labels import LEVELS
from .dataset import level_codes, matrix

Prediction = tuple[np.ndarray, np.ndarray]
"""Levels as indices into `LEVELS` (rows,) and probabilities (rows, 3)."""

_SMOOTHING = 1.0


def majority(train: pl.DataFrame, rows: pl.DataFrame) -> Prediction:
    """Predict the commonest level of the training rows, with their shares as probabilities."""
    shares = np.bincount(level_codes(train["level"]), minlength=len(LEVELS)) / train.height
    levels = np.full(rows.height, shares.argmax(), dtype=np.int64)
    return levels, np.tile(shares, (rows.height, 1))


def persistence(train: pl.DataFrame, rows: pl.DataFrame) -> Prediction:
    """Predict that the level of the row's own window stays.

    Its probabilities are the shares with which that level became each level in training.
    """
    moves = np.full((len(LEVELS), len(LEVELS)), _SMOOTHING)
    np.add.at(moves, (level_codes(train["current_level"]), level_codes(train["level"])), 1)
    moves /= moves.sum(axis=1, keepdims=True)
    current = level_codes(rows["current_level"])
    return current, moves[current]


def logistic(
    train: pl.DataFrame, rows: Sequence[pl.DataFrame], names: Sequence[str]
) -> list[Prediction]:
    """Predict each frame with a multinomial logistic regression on standardised inputs."""
    model = make_pipeline(
        StandardScaler(),
        # Far more rows than inputs: Newton steps with an exact Hessian need few passes.
        LogisticRegression(solver="newton-cholesky", C=1.0, max_iter=50),
    )
    with threadpool_limits(limits=1):
        model.fit(matrix(train, names), level_codes(train["level"]))
        found = [model.predict_proba(matrix(part, names)) for part in rows]
    return [(p.argmax(axis=1), p) for p in found]
