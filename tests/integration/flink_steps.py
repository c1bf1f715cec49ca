"""The steps of a small streaming job: its workers import them, and its test compares with them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.transforms.window import FixedWindows, TimestampedValue
from apache_beam.utils.timestamp import MAX_TIMESTAMP, Duration, Timestamp

WINDOW = 10
"""Seconds of event time; a source gives a number a second."""
KEYS = 3
_SLICE = 20
"""Numbers that a source gives before it lets the runner take a checkpoint."""


def expected(sources: int, numbers: int) -> dict[str, int]:
    """Return the count by window and key, computed without Beam."""
    found: dict[str, int] = {}
    for _ in range(sources):
        for number in range(numbers):
            name = f"{number // WINDOW * WINDOW}-{number % KEYS}"
            found[name] = found.get(name, 0) + 1
    return found


class _Numbers(OffsetRestrictionTracker):
    def try_split(self, fraction: float) -> Any:
        return super().try_split(fraction) if fraction == 0 else None


class _Provider(RestrictionProvider):  # type: ignore[misc]
    def initial_restriction(self, element: tuple[int, int]) -> OffsetRange:
        return OffsetRange(0, element[1])

    def create_tracker(self, restriction: OffsetRange) -> _Numbers:
        return _Numbers(restriction)

    def restriction_size(self, element: tuple[int, int], restriction: OffsetRange) -> int:
        return restriction.size()


_TRACKER = beam.DoFn.RestrictionParam(_Provider())
_ESTIMATOR = beam.DoFn.WatermarkEstimatorParam(ManualWatermarkEstimator.default_provider())


class Count(beam.DoFn):  # type: ignore[misc]
    """A source: gives numbers, at most to where the file ``gate`` says, and their event time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        element: tuple[int, int],
        tracker: Any = _TRACKER,
        estimator: Any = _ESTIMATOR,
    ) -> Iterator[Any]:
        start = tracker.current_restriction().start
        last = min(start + _SLICE, int((self._folder / "gate").read_text()))
        for number in range(start, last):
            if not tracker.try_claim(number):
                return
            yield TimestampedValue((number % KEYS, number), number)
            estimator.set_watermark(Timestamp(number))
        if last == element[1]:
            tracker.try_claim(element[1])
            estimator.set_watermark(MAX_TIMESTAMP)
        else:
            tracker.defer_remainder(Duration(1))


class Write(beam.DoFn):  # type: ignore[misc]
    """Write a window's count of a key, by name: again is the same; and which process did it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def process(
        self, element: tuple[int, Any], window: Any = beam.DoFn.WindowParam
    ) -> Iterator[None]:
        key, numbers = element
        name = f"{int(window.start)}-{key}"
        text = str(len(list(numbers)))
        part = self._folder / f".{uuid.uuid4().hex}"
        part.write_text(text)
        part.replace(self._folder / "counts" / name)
        (self._folder / "workers" / str(os.getpid())).touch()
        yield from ()


def build(pipeline: beam.Pipeline, folder: Path, sources: int, numbers: int) -> None:
    """Make the job: counts by window and key of what all sources give."""
    for name in ("counts", "workers"):
        (folder / name).mkdir(exist_ok=True)
    _ = (
        pipeline
        | beam.Create([(source, numbers) for source in range(sources)])
        | beam.Reshuffle()
        | beam.ParDo(Count(folder))
        | beam.WindowInto(FixedWindows(WINDOW))
        | beam.GroupByKey()
        | beam.ParDo(Write(folder))
    )


def counts(folder: Path) -> dict[str, int]:
    """Return what is written."""
    return {file.name: int(file.read_text()) for file in (folder / "counts").iterdir()}
