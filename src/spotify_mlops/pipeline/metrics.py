"""What the steps of the graph count, as Beam's metrics: any runner shows and adds them up."""

from __future__ import annotations

from typing import Any

from apache_beam.metrics import Metrics, MetricsFilter

NAMESPACE = "spotify-mlops"
NAMES = (
    "records_read",  # claimed by the source
    "dead_letters",
    "late",  # events that came after the watermark of their partition
    "events",  # late ones too
    "duplicates",  # of closed windows
    "windows",  # closed, with events
    "rows",  # window, country and track: what is written
    "predictions",
)
"""Each job counts for itself: what a restart reads again is counted again."""

_COUNTERS = {name: Metrics.counter(NAMESPACE, name) for name in NAMES}


def count(name: str, number: int) -> None:
    """Add to a counter of the step that is at work."""
    _COUNTERS[name].inc(number)


def read(result: Any) -> dict[str, int]:
    """Return the counters of a job by name; 0 of what it did not count.

    Args:
        result: what ``pipeline.run()`` gave.
    """
    found = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]
    counted = {counter.key.metric.name: int(counter.result) for counter in found}
    return dict.fromkeys(NAMES, 0) | counted
