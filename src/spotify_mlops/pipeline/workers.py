"""How the process that runs the graph is set up: what Beam and malloc do between batches."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from apache_beam.runners.worker import statesampler

SAMPLING_MS = 2
"""Beam's own period grows with the bundle, up to 200 ms."""
LONG_TURN, SHORT_TURN = 0.005, 0.0005
"""Seconds that a thread may keep the interpreter while others wait for it; Python's own, and ours
where somebody waits for a window."""
KEPT_BYTES = 512 << 20
"""Of freed memory that the C library keeps for the next batch."""
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""``mallopt``'s parameters, as in glibc's malloc.h."""
_LARGEST_MMAP_THRESHOLD = 32 << 20


class _BriefSampler(statesampler.StateSampler):
    def __init__(self, prefix: str, counter_factory: Any) -> None:
        super().__init__(prefix, counter_factory, sampling_period_ms=SAMPLING_MS)


def tune() -> None:
    """Set this process up for batches that come one after the other; harmless when repeated."""
    _let_go_of_bundles()
    _keep_memory()


def _let_go_of_bundles() -> None:
    """Make Beam's workers sample often where a bundle spends its time.

    A bundle that has done its work waits until the thread that samples it wakes up and sees that
    it can end (``stop`` in Beam's statesampler_fast.pyx): up to a sixth of what the bundle took,
    in each stage one after the other. Prism's loop over the bundle (``Execute`` in its stage.go)
    spins meanwhile, as the bundle's output is there and its answer is not. There is no option.
    """
    statesampler.StateSampler = _BriefSampler  # type: ignore[misc, assignment]


def _keep_memory() -> None:
    """Make glibc keep what it frees: each batch would have the system clear pages for it again.

    Polars has an allocator of its own, which is told in the package's ``__init__``. Elsewhere
    than on glibc nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_TOP_PAD, KEPT_BYTES // 8)
        mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)


def take_turns(*, short: bool) -> None:
    """Say how long a thread of this process keeps the interpreter from the others.

    A window goes through a dozen threads of gRPC and Beam, each of which waits a whole turn for
    one that decodes. A job with a backlog is better off with long turns: a sixth more events a
    second.
    """
    sys.setswitchinterval(SHORT_TURN if short else LONG_TURN)
