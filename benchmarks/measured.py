"""Sinks that only count, so that a benchmark times the graph and not a store."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import polars as pl

from spotify_mlops.events import Kind
from spotify_mlops.pipeline import progress

_counts: dict[str, Counter[str]] = {}
_lock = threading.Lock()


def reset(job: str) -> None:
    """Begin to count for a job of this process."""
    _counts[job] = Counter()


def counts(job: str) -> dict[str, int]:
    """Return what a job's sinks counted."""
    return dict(_counts[job])


def _add(job: str, **numbers: int) -> None:
    with _lock:
        _counts[job].update(numbers)


class Count(beam.DoFn):
    """Counts elements under a name."""

    def __init__(self, job: str, name: str) -> None:
        self._job = job
        self._name = name

    def setup(self) -> None:
        self._seen = 0

    def process(self, element: Any) -> None:
        self._seen += 1

    def finish_bundle(self) -> None:
        _add(self._job, **{self._name: self._seen})
        self._seen = 0


class _CountRawDoFn(beam.DoFn):
    def __init__(self, job: str) -> None:
        self._job = job

    def process(self, marked: pl.DataFrame) -> None:
        dead = marked.filter(pl.col("kind") == Kind.DEAD_LETTER)
        _add(self._job, records=marked.height, dead_letters=dead.height)


@dataclass(frozen=True)
class CountRaw:
    """Counts records, and picks the dead letters out as a sink would."""

    name: str = "Count"

    def dofn(self, job: str) -> beam.DoFn:
        return _CountRawDoFn(job)


class _CountWindowsDoFn(beam.DoFn):
    def __init__(self, job: str) -> None:
        self._job = job

    def process(self, element: Any) -> None:
        shard, end, features, counters, _ = element
        _add(
            self._job,
            rows=features.height,
            counted=counters["counted"].sum(),
            duplicates=counters["duplicates"].sum(),
        )
        job = progress.of(self._job)
        job.acknowledge_windows(shard, job.pending(shard, end.min.replace(tzinfo=end.tzinfo), end))


@dataclass(frozen=True)
class CountWindows:
    """Counts rows and acknowledges windows."""

    def dofn(self, job: str) -> beam.DoFn:
        return _CountWindowsDoFn(job)
