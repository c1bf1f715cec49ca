"""Sinks that make the rows and count them, so that a benchmark times the graph, not a store."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import polars as pl

from spotify_mlops.config.params import Params
from spotify_mlops.domain.windows import Windowing
from spotify_mlops.pipeline import clock
from spotify_mlops.pipeline.job import Job
from spotify_mlops.pipeline.sinks import rows
from spotify_mlops.pipeline.sinks.buffered import BufferedDoFn
from spotify_mlops.pipeline.transforms import PredictedRows

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


class _CountRawDoFn(BufferedDoFn):
    def __init__(self, job: Job, params: Params) -> None:
        super().__init__(job, "Count", 0)
        self._topic = params.kafka.topic
        self._windowing = Windowing.of(params.windows)

    def process(self, marked: pl.DataFrame) -> None:
        _add(
            self._job.name,
            records=marked.height,
            events=rows.event_rows(marked, self._windowing).height,
            dead_letters=rows.dead_letter_rows(marked, self._topic).height,
            heartbeats=rows.heartbeat_rows(marked).height,
        )


@dataclass(frozen=True)
class CountRaw:
    """Makes the rows of the raw tables, as the sinks do, and counts them."""

    params: Params
    name: str = "Count"

    def dofn(self, job: Job) -> BufferedDoFn:
        """Return the DoFn that counts."""
        return _CountRawDoFn(job, self.params)


class _CountWindowsDoFn(beam.DoFn):
    def __init__(self, job: Job) -> None:
        self._job = job

    def process(self, element: PredictedRows) -> None:
        shard, end, features, counters, predictions = element
        now = clock.now()
        _add(
            self._job.name,
            features=rows.stamped(features, now).height,
            predictions=rows.stamped(predictions, now).height,
            counted=int(rows.counter_rows(counters)["counted"].sum()),
            duplicates=int(counters["duplicates"].sum()),
        )
        job = self._job
        job.acknowledge_windows(shard, job.pending(shard, end))


@dataclass(frozen=True)
class CountWindows:
    """Makes the rows of closed windows, counts them and acknowledges the windows."""

    def dofn(self, job: Job) -> beam.DoFn:
        """Return the DoFn that counts."""
        return _CountWindowsDoFn(job)
