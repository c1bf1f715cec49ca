"""How long a model takes to answer, as far as the model alone decides it."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass

import numpy as np

from . import runtime

ROUNDS = 7
CALLS = 200
"""One-row predictions of a round."""
BATCH_ROWS = 1_000
BATCHES = 3
"""Batches of a round."""


@dataclass(frozen=True)
class Latency:
    """Seconds of processor that the ONNX graph takes, without HTTP, lookups or queues."""

    one_row_p99: float
    """99 of 100 predictions of one row take no longer."""
    batch_row: float
    """A row in a batch of `BATCH_ROWS`."""


def measure(graph: bytes, inputs: int) -> Latency:
    """Time a graph on random inputs; about a third of a second.

    The clock is the thread's own: the graph runs on it alone, and waiting for a core that others
    use is not the model's doing. What they do to caches can only add time, and comes and goes: it
    is measured in rounds, rows alone and rows together by turns, and the quietest round counts.

    Args:
        graph: serialized, as in a bundle.
        inputs: how many a row has.
    """
    session = runtime.session(graph)
    batch = np.random.default_rng(0).uniform(-100.0, 100.0, (BATCH_ROWS, inputs))
    rows = [batch[i : i + 1] for i in range(CALLS)]

    def seconds(block: np.ndarray) -> float:
        start = time.thread_time()
        session.run(runtime.OUTPUTS, {runtime.INPUT: block})
        return time.thread_time() - start

    seconds(batch)  # the first call allocates
    collecting = gc.isenabled()
    gc.disable()  # a collection is the caller's, not the model's
    try:
        rounds = [
            (
                np.quantile([seconds(row) for row in rows], 0.99, method="higher"),
                min(seconds(batch) for _ in range(BATCHES)) / BATCH_ROWS,
            )
            for _ in range(ROUNDS)
        ]
    finally:
        if collecting:
            gc.enable()
    one_row, batch_row = np.min(rounds, axis=0)
    return Latency(float(one_row), float(batch_row))
