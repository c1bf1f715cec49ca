"""Vector scaling: the least that makes probabilities mean what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from ..domain.labels import LEVELS


@dataclass(frozen=True)
class Calibration:
    """One slope for all levels and one intercept each, applied to the scores.

    p = softmax(slope * z + intercept): temperature scaling with a correction of the levels'
    frequencies (vector scaling with a shared slope; Guo et al., 2017). A multiplication and an
    addition, so its ONNX form is exact.
    """

    slope: float
    intercepts: tuple[float, ...]

    @classmethod
    def identity(cls) -> Self:
        """Return the calibration that changes nothing."""
        return cls(1.0, (0.0,) * len(LEVELS))

    @classmethod
    def fit(cls, scores: np.ndarray, y: np.ndarray) -> Self:
        """Return the calibration with the least log loss on rows the model has not learned from.

        Args:
            scores: uncalibrated (rows, 3).
            y: indices into `LEVELS` (rows,).
        """
        rows = np.arange(len(y))
        hit = np.eye(len(LEVELS))[y]

        def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            log_p = log_softmax(parameters[0] * scores + [0.0, *parameters[1:]], axis=1)
            error = (np.exp(log_p) - hit) / len(y)
            gradient = [(error * scores).sum(), *error.sum(axis=0)[1:]]
            return float(-log_p[rows, y].mean()), np.asarray(gradient)

        start = np.array([1.0, *[0.0] * (len(LEVELS) - 1)])
        # A slope of 0 or less would turn the ranking of the model around.
        bounds = [(0.05, 20.0)] + [(-5.0, 5.0)] * (len(LEVELS) - 1)
        found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
        return cls(float(found[0]), (0.0, *(float(value) for value in found[1:])))

    def apply(self, scores: np.ndarray) -> np.ndarray:
        """Return calibrated scores (rows, 3)."""
        calibrated: np.ndarray = scores * self.slope + np.asarray(self.intercepts)
        return calibrated
