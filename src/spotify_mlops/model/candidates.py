"""The candidates of a family: classifiers with hyper-parameters, compared on validation rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from sklearn import ensemble, linear_model, tree
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import InvalidParameterError

from ..config.errors import ParamsError, one_line
from ..config.estimators import BOOSTING
from ..config.sections import Model
from . import metrics
from .learner import Hyperparameters, Learned, Member, Settings, fit_member, in_parallel, scores_of

STAGE_ROWS = 30_000
"""Most validation rows on which candidates are compared, and the number of trees is chosen."""

Data = tuple[np.ndarray, np.ndarray]
"""Inputs (rows, features) and indices into `LEVELS` (rows,)."""


@dataclass(frozen=True)
class Classifier:
    """One that is fitted once, as it is: no trees are added to it one by one."""

    estimator: str
    values: Mapping[str, Any]
    members: int = 1
    """One: only boosted trees are averaged."""

    def member(self, seed: int) -> Member:
        """Return it, unfitted; ``seed`` is of its random draws."""
        if self.estimator == "LogisticRegression":
            # Far more rows than inputs: Newton steps with an exact Hessian need few passes.
            settings = {"solver": "newton-cholesky", "max_iter": 50, **self.values}
            return make_pipeline(StandardScaler(), linear_model.LogisticRegression(**settings))
        kind = tree if self.estimator == "DecisionTreeClassifier" else ensemble
        return getattr(kind, self.estimator)(random_state=seed, **self.values)

    def named(self) -> dict[str, Any]:
        """Return the estimator and its values by name."""
        return {"estimator": self.estimator, **self.values}


class Candidate(NamedTuple):
    """One that was tried."""

    settings: Settings
    """Of boosted trees, with the ``max_iter`` that validation let them come to."""
    loss: float
    """Log loss on the validation rows that it was compared on."""
    member: Member
    macro_f1: float
    """On all validation rows, before calibration."""


def grid(family: str, rows: int, model: Model) -> list[Settings]:
    """Return the candidates of a family.

    Args:
        family: of inputs. ``model_estimator`` and ``model_grid`` are about that of ``family``.
        rows: that they will learn from.
        model: estimator and grid, or the length of the few candidates that are known to do.
    """
    wide = min(400, max(20, rows // 250))
    points = list(ParameterGrid(model.grid)) if family == model.family else [{}]
    if family == model.family and model.estimator != BOOSTING:
        usual = {} if model.estimator == "LogisticRegression" else {"min_samples_leaf": wide // 2}
        return [Classifier(model.estimator, usual | point) for point in points]
    if family == "seed":
        # Six inputs with few values: one form, only its length is chosen.
        base = Hyperparameters(max_features=1.0, learning_rate=0.1, max_iter=80)
    else:
        base = Hyperparameters(
            min_samples_leaf=wide,
            learning_rate=model.learning_rate,
            max_iter=model.iterations,
        )
    if points != [{}] or family == "seed":
        return [replace(base, **point) for point in points]
    # From smooth to detailed, for the time that a run may take.
    return [
        base,
        replace(base, max_leaf_nodes=31),
        replace(base, max_leaf_nodes=31, max_features=0.15),
    ]


def choose(
    settings: Sequence[Settings], train: Learned, validation: Data, seed: int
) -> list[Candidate]:
    """Fit one member of each candidate; boosted trees until their validation loss falls no more.

    Raises:
        ParamsError: scikit-learn refuses a value of ``model_grid``.
    """
    x, y, weights = train
    x_valid, y_valid = validation
    stride = max(1, -(-len(y_valid) // STAGE_ROWS))
    x_stage, y_stage = x_valid[::stride], y_valid[::stride]

    def try_one(tried: Settings) -> Candidate:
        if isinstance(tried, Hyperparameters):
            member = tried.member(seed, stopping=True)
            member.fit(x, y, weights, X_val=x_stage, y_val=y_stage)
            loss = -float(member.validation_score_[-1])
            tried = replace(tried, max_iter=member.n_iter_)
        else:
            member = fit_member(tried.member(seed), x, y, weights)
            loss = metrics.log_loss_of(y_stage, scores_of(member, x_stage))
        f1 = metrics.macro_f1_of(y_valid, scores_of(member, x_valid).argmax(axis=1))
        return Candidate(tried, loss, member, f1)

    try:
        return in_parallel(try_one, settings)
    except InvalidParameterError as error:
        raise ParamsError(
            f"scikit-learn no admite un valor de «model_grid»: {one_line(error, 200)}"
        ) from error
