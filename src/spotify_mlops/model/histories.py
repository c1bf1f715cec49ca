"""How much of the past a model learns from: when fashions change, the old ones mislead it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from ..config.histories import History
from ..domain.labels import LEVELS
from . import dataset, metrics
from .dataset import level_codes, matrix
from .learner import Learned, Member, Settings, fit_member, in_parallel, scores_of

_SHARES: dict[History, float] = {"half": 1 / 2, "quarter": 1 / 4}
"""Of the range's time, the last part that is learned from."""
HALF_LIFE = 1 / 4
"""Of the range's time, after which a row of ``fading`` weighs half."""
NEWEST = 1 / 3
"""Of the validation range's time, the last part on which histories are compared."""


class Tried(NamedTuple):
    """One history that was tried."""

    history: History
    learned: Learned
    """What there is of it in the training range."""
    loss: float
    """Log loss on the newest validation rows."""
    macro_f1: float
    """On the same, before calibration."""
    member: Member

    def named(self) -> dict[str, Any]:
        """Return what there is to tell of it."""
        return {"history": self.history, "log_loss": self.loss, "macro_f1": self.macro_f1}


def learned(
    rows: pl.DataFrame, history: History, names: Sequence[str], most: int, seed: int
) -> Learned:
    """Return what is learned from a range of rows.

    Args:
        rows: labelled rows of the range.
        history: which of them count, and how much.
        names: of the inputs.
        most: rows; more are sampled with ``seed``.
        seed: of the sample.
    """
    drawn = dataset.sample(last(rows, _SHARES.get(history, 1.0)), most, seed)
    weights = _fading(drawn) if history == "fading" else None
    return Learned(matrix(drawn, names), level_codes(drawn["level"]), weights)


def last(rows: pl.DataFrame, share: float) -> pl.DataFrame:
    """Return the rows of the last ``share`` of the time that rows span."""
    if share >= 1:
        return rows
    first, end = dataset.bounds(rows)
    return rows.filter(pl.col("window_start") > end - share * (end - first))


def choose(
    histories: Sequence[History],
    ranges: dataset.Split,
    names: Sequence[str],
    settings: Settings,
    most: int,
    seed: int,
) -> list[Tried]:
    """Fit a classifier to each history, and compare them on the newest validation rows.

    Args:
        histories: to try; one that lacks a level is not.
        ranges: ``train`` is learned from.
        names: of the inputs.
        settings: of the classifier, the same for all.
        most: rows that each learns from.
        seed: of samples and of the classifiers' random draws.

    Returns:
        What was tried, the best first.
    """
    newest = last(ranges.validation, NEWEST)
    x, y = matrix(newest, names), level_codes(newest["level"])

    def try_one(history: History) -> Tried | None:
        known = learned(ranges.train, history, names, most, seed)
        if len(np.unique(known.y)) < len(LEVELS):
            return None
        member = fit_member(settings.member(seed), *known)
        scores = scores_of(member, x)
        f1 = metrics.macro_f1_of(y, scores.argmax(axis=1))
        return Tried(history, known, metrics.log_loss_of(y, scores), f1, member)

    found = [tried for tried in in_parallel(try_one, histories) if tried is not None]
    return sorted(found, key=lambda tried: tried.loss)


def _fading(rows: pl.DataFrame) -> np.ndarray:
    first, end = dataset.bounds(rows)
    age = (end - rows["window_start"]) / (end - first)
    weights = 0.5 ** (age.to_numpy() / HALF_LIFE)
    return np.asarray(weights / weights.mean())
