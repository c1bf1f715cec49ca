"""Apache Beam 2.77: how often a worker samples where a bundle spends its time.

A bundle that has done its work waits until the thread that samples it wakes up and sees that it can
end (``stop`` in ``runners/worker/statesampler_fast.pyx``): up to a sixth of what the bundle took,
in each stage one after the other. Beam's period grows with the bundle, up to 200 ms. Prism's loop
over the bundle (``Execute`` in ``runners/prism/internal/stage.go``) spins meanwhile, as the
bundle's output is there and its answer is not. There is no option: ``BundleProcessor`` makes its
sampler with the default.
"""

from __future__ import annotations

from typing import Any

from apache_beam.runners.worker import statesampler

SAMPLING_MS = 2


class _BriefSampler(statesampler.StateSampler):
    def __init__(self, prefix: str, counter_factory: Any) -> None:
        super().__init__(prefix, counter_factory, sampling_period_ms=SAMPLING_MS)


def let_go_of_bundles() -> None:
    """Make the workers of this process sample often; harmless when repeated."""
    statesampler.StateSampler = _BriefSampler  # type: ignore[misc, assignment]
