"""The model: boosted trees, averaged, or another classifier, its probabilities calibrated."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from scipy.special import softmax
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from ..config.estimators import BOOSTING
from ..domain.labels import LEVELS
from . import level_offsets
from .calibration import Calibration

T = TypeVar("T")
R = TypeVar("R")
Member = Any
"""A fitted classifier of scikit-learn, one of `config.estimators.TUNABLE`."""

LEAST = 1e-6
"""What a probability of zero counts as: trees that are averaged give some, which have no log."""


class Settings(Protocol):
    """A classifier with its hyper-parameters."""

    @property
    def members(self) -> int:
        """Return how many are fitted and averaged."""

    def member(self, seed: int) -> Member:
        """Return one, unfitted; ``seed`` is of its random draws."""

    def named(self) -> dict[str, Any]:
        """Return the estimator and its values by name."""


@dataclass(frozen=True)
class Hyperparameters:
    """Of boosted trees, what is chosen on the validation range. Names as in scikit-learn."""

    max_leaf_nodes: int = 15
    min_samples_leaf: int = 100
    max_features: float = 0.3
    """Share of the inputs that each split may choose from: less makes the members differ."""
    learning_rate: float = 0.1
    l2_regularization: float = 5.0
    max_iter: int = 150
    members: int = 1
    """Models with different random draws whose scores are averaged."""

    def member(self, seed: int, *, stopping: bool = False) -> HistGradientBoostingClassifier:
        """Return one member, unfitted.

        Args:
            seed: of its random draws.
            stopping: it is given validation rows, and stops when they are predicted no better.
        """
        return HistGradientBoostingClassifier(
            learning_rate=self.learning_rate,
            max_iter=self.max_iter,
            max_leaf_nodes=self.max_leaf_nodes,
            min_samples_leaf=self.min_samples_leaf,
            l2_regularization=self.l2_regularization,
            max_features=self.max_features,
            early_stopping=stopping,
            random_state=seed,
        )

    def named(self) -> dict[str, Any]:
        """Return the estimator and its values by name."""
        return {"estimator": BOOSTING, **asdict(self)}


class Learned(NamedTuple):
    """What a classifier learns from."""

    x: np.ndarray
    """Inputs (rows, features)."""
    y: np.ndarray
    """Indices into `LEVELS` (rows,)."""
    weights: np.ndarray | None
    """Of each row, 1 on average (rows,); None when all weigh the same."""


def scores_of(member: Member, x: np.ndarray) -> np.ndarray:
    """Return a member's scores (rows, 3): their softmax is its probabilities."""
    if hasattr(member, "decision_function"):
        scores: np.ndarray = member.decision_function(x)
        return scores
    return np.asarray(np.log(np.maximum(member.predict_proba(x), LEAST)))


@dataclass(frozen=True)
class LevelModel:
    """Averaged members, the calibration of their probabilities, and the rule of decision.

    The level is the one whose calibrated score plus its offset is highest; ties go to the more
    popular one.
    """

    members: tuple[Member, ...]
    calibration: Calibration = field(default_factory=Calibration.identity)
    offsets: level_offsets.Offsets = level_offsets.NONE

    def log_odds(self, x: np.ndarray) -> np.ndarray:
        """Return the uncalibrated scores (rows, 3) in the order of `LEVELS`."""
        # One thread, for the reason that `in_parallel` gives.
        with threadpool_limits(limits=1, user_api="openmp"):
            scores = [scores_of(member, x) for member in self.members]
        total: np.ndarray = sum(scores[1:], scores[0])
        return total / len(scores)

    def calibrated(self, x: np.ndarray) -> np.ndarray:
        """Return the calibrated scores (rows, 3): their softmax is the probabilities."""
        return self.calibration.apply(self.log_odds(x))

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities (rows, 3)."""
        return np.asarray(softmax(self.calibrated(x), axis=1))

    def decide(self, calibrated: np.ndarray) -> np.ndarray:
        """Return the levels of calibrated scores: indices into `LEVELS` (rows,)."""
        levels: np.ndarray = (calibrated + self.offsets).argmax(axis=1)
        return levels

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return indices into `LEVELS` (rows,)."""
        return self.decide(self.calibrated(x))


def fit_member(
    member: Member, x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None
) -> Member:
    """Fit a classifier, with a weight a row when there are any, and return it."""
    if weights is None:
        return member.fit(x, y)
    last = f"{member.steps[-1][0]}__" if isinstance(member, Pipeline) else ""
    return member.fit(x, y, **{f"{last}sample_weight": weights})


def fit(
    x: np.ndarray,
    y: np.ndarray,
    settings: Settings,
    seed: int,
    weights: np.ndarray | None = None,
) -> LevelModel:
    """Fit an uncalibrated model.

    Args:
        x: inputs (rows, features), float64 without NaN.
        y: indices into `LEVELS` (rows,); all levels must occur.
        settings: of every member.
        seed: member i uses ``seed + i``.
        weights: of the rows (rows,); without them all weigh the same.
    """
    assert len(np.unique(y)) == len(LEVELS)
    members = [settings.member(seed + i) for i in range(settings.members)]
    return LevelModel(tuple(in_parallel(lambda member: fit_member(member, x, y, weights), members)))


def in_parallel(task: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Run fits side by side, one thread each, and return their results in order.

    OpenMP's threads wait for each other actively at every small step of a tree: beside other
    processes that made a fit nine times slower than one thread did. Whole fits side by side use
    the cores without meeting, and one thread always adds in the same order.
    """

    def alone(item: T) -> R:
        with threadpool_limits(limits=1, user_api="openmp"):
            return task(item)

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return list(pool.map(alone, items))
