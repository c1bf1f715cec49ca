"""What a model must beat: the commonest level, the level of today, a straight line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from ..domain.labels import LEVELS
from . import level_offsets
from .candidates import Classifier
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
    """Predict that the level of the row's own window stays, with the probabilities of `moves`."""
    current = level_codes(rows["current_level"])
    return current, moves(train)[current]


def moves(train: pl.DataFrame) -> np.ndarray:
    """Return the shares with which each level became each level, (3, 3): from, to."""
    counts = np.full((len(LEVELS), len(LEVELS)), _SMOOTHING)
    np.add.at(counts, (level_codes(train["current_level"]), level_codes(train["level"])), 1)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def logistic(
    train: pl.DataFrame, rows: Sequence[pl.DataFrame], names: Sequence[str]
) -> list[Prediction]:
    """Predict each frame with a multinomial logistic regression on standardised inputs.

    Its level is decided by the rule of the model that it is a baseline of (`decision`), so that
    what the trees gain over it is not the rule.
    """
    model = Classifier("LogisticRegression", {"C": 1.0}).member(seed=0)  # nothing in it is drawn
    with threadpool_limits(limits=1):
        x = matrix(train, names)
        model.fit(x, level_codes(train["level"]))
        # Few parameters: what it says of the rows it has learned from is as good as of others.
        offsets = level_offsets.fit(model.predict_proba(x))
        found = [model.predict_proba(matrix(part, names)) for part in rows]
    return [(level_offsets.decide(p, offsets), p) for p in found]
