"""Beam's clock of where a bundle spends its time, set to let go of the bundle at once."""

from __future__ import annotations

from typing import Any

from apache_beam.runners.worker import statesampler

PERIOD_MS = 2
"""Beam's own grows with the bundle, up to 200 ms."""


class _BriefSampler(statesampler.StateSampler):
    def __init__(self, prefix: str, counter_factory: Any) -> None:
        super().__init__(prefix, counter_factory, sampling_period_ms=PERIOD_MS)


def brief() -> None:
    """Make the workers of this process sample every ``PERIOD_MS``.

    A bundle that has done its work waits until the thread that samples it wakes up and sees that
    it can end (``stop`` in Beam's statesampler_fast.pyx): up to a sixth of what the bundle took,
    in each stage one after the other. Prism's loop over the bundle (``Execute`` in its stage.go)
    spins meanwhile, as the bundle's output is there and its answer is not. There is no option.
    """
    statesampler.StateSampler = _BriefSampler  # type: ignore[misc, assignment]
