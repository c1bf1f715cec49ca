"""The rule of decision: what it maximises, and that it needs no answers."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from spotify_mlops.model import level_offsets, metrics


def world(rows: int, seed: int, common: float) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities, with a level that is common, and levels that follow them."""
    random = np.random.default_rng(seed)
    scores = random.normal([0.0, 0.0, common], 1.0, (rows, 3))
    p = softmax(scores, axis=1)
    return p, (random.random((rows, 1)) > p.cumsum(axis=1)).sum(axis=1)


def test_expected_macro_f1_is_what_comes_on_average() -> None:
    p, _ = world(4000, 1, 1.0)
    announced = level_offsets.decide(p, (0.3, 0.1, 0.0))
    random = np.random.default_rng(2)
    draws = [
        metrics.macro_f1_of((random.random((len(p), 1)) > p.cumsum(axis=1)).sum(axis=1), announced)
        for _ in range(60)
    ]
    standard_error = np.std(draws) / np.sqrt(len(draws))
    assert (
        abs(np.mean(draws) - level_offsets.expected_macro_f1(p, announced))
        < 4 * standard_error + 1e-3
    )


def test_the_offsets_gain_on_rows_they_were_not_chosen_on() -> None:
    p, _ = world(20_000, 3, 1.2)
    offsets = level_offsets.fit(p)
    assert offsets[0] > 0.1 and offsets[1] > 0.1 and offsets[2] == 0
    later, truth = world(20_000, 4, 1.2)
    plain = metrics.macro_f1_of(truth, level_offsets.decide(later, level_offsets.NONE))
    assert metrics.macro_f1_of(truth, level_offsets.decide(later, offsets)) > plain + 0.01
    for other in [(0.0, 0.4, 0.0), (0.4, 0.0, 0.0), (-0.2, 0.0, 0.0)]:
        assert level_offsets.expected_macro_f1(p, level_offsets.decide(p, offsets)) > (
            level_offsets.expected_macro_f1(p, level_offsets.decide(p, other))
        )


def test_where_levels_are_alike_the_most_probable_is_announced() -> None:
    p, _ = world(20_000, 5, 0.0)
    assert np.abs(level_offsets.fit(p)).max() <= 0.05
    assert (level_offsets.decide(p, level_offsets.NONE) == p.argmax(axis=1)).all()


def test_certain_probabilities_leave_nothing_to_decide() -> None:
    p = np.eye(3)[np.arange(300) % 3]
    assert level_offsets.fit(p) == level_offsets.NONE
    assert level_offsets.expected_macro_f1(p, p.argmax(axis=1)) == 1
