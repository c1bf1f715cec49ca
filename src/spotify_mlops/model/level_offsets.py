"""Which level to announce, given the probabilities: not always the most probable one.

Macro-F1 weighs the three levels alike, however rare. Where one is rare and hard, announcing always
the most probable level hardly ever names it: it gains hits in the common level and loses the F1
of the rare one. Announcing the level with the largest p_k * w_k, with one weight a level, is the
best rule of that form for such measures (Narasimhan et al., 2015), and on the log scale a weight
is an offset.
"""

from __future__ import annotations

import numpy as np

from ..domain.labels import LEVELS

Offsets = tuple[float, ...]
"""One a level, added to its log probability before they are compared; the last is 0."""

NONE: Offsets = (0.0,) * len(LEVELS)

_STEPS = (0.2, 0.1, 0.05, 0.025)
_LARGEST = 1.0
_MOST_ROWS = 30_000


def expected_macro_f1(p: np.ndarray, announced: np.ndarray) -> float:
    """Return the macro-F1 to expect of announced levels if the probabilities are right.

    Of each level 2 E[hits] / (E[occurrences] + announcements), with the expectations under p.

    Args:
        p: probabilities (rows, 3).
        announced: indices into `LEVELS` (rows,).
    """
    chosen = np.eye(len(LEVELS))[announced]
    whole = p.sum(axis=0) + chosen.sum(axis=0)
    return float((2 * (p * chosen).sum(axis=0) / np.maximum(whole, 1e-12)).mean())


def decide(p: np.ndarray, offsets: Offsets) -> np.ndarray:
    """Return the level to announce of each row of probabilities, as indices into `LEVELS`."""
    levels: np.ndarray = (np.log(np.maximum(p, 1e-12)) + offsets).argmax(axis=1)
    return levels


def fit(p: np.ndarray) -> Offsets:
    """Return the offsets with the largest expected macro-F1 on some rows.

    What happened in those rows is not asked: calibrated probabilities hold all that it could
    teach, without its chance. (Offsets fitted to what happened scored less on later windows.)

    Args:
        p: calibrated probabilities (rows, 3) of rows that the model has not learned from.
    """
    p = p[:: max(1, -(-len(p) // _MOST_ROWS))]

    def value(offsets: Offsets) -> float:
        return expected_macro_f1(p, decide(p, offsets))

    best: Offsets = NONE
    reached = value(best)
    for step in _STEPS:
        while True:
            around: list[Offsets] = [
                (best[0] + step * i, best[1] + step * j, 0.0)
                for i in (-1, 0, 1)
                for j in (-1, 0, 1)
                if (i or j) and max(abs(best[0] + step * i), abs(best[1] + step * j)) <= _LARGEST
            ]
            values = [value(offsets) for offsets in around]
            if max(values) <= reached:
                break
            reached = max(values)
            best = around[values.index(reached)]
    return tuple(round(offset, 3) for offset in best)
