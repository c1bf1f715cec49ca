"""How many examples property tests try: ``THOROUGH=20 pytest tests/unit`` tries 20 times more."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

FACTOR = int(os.environ.get("THOROUGH", "1"))


def examples(count: int) -> settings:
    """Return settings for ``count`` examples, without a limit of time for each."""
    return settings(
        max_examples=count * FACTOR,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
