"""The rows of closed windows, live: features, predictions and counters; then that they are written.

On Prism the job's tracker is told, which saves how far all shards are. Elsewhere it is a row of
``spotify_written``, and how far they are is a query (`operations.resume`).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import apache_beam as beam
import polars as pl

from ...config.params import Params
from ...io.bigquery import tables
from ...io.bigquery.appending import Appender
from ...io.mongo.clients import database as mongo_database
from .. import clock
from ..job import Job
from ..transforms import PredictedRows
from . import mongo, positions, rows


class _WriteWindowsDoFn(beam.DoFn):
    def __init__(self, job: Job, params: Params) -> None:
        self._job = job
        self._params = params

    def setup(self) -> None:
        self._features = Appender(self._params, tables.features(self._params.windows))
        self._predictions = Appender(self._params, tables.PREDICTIONS)
        self._counters = Appender(self._params, tables.COUNTERS)
        self._written = Appender(self._params, tables.WRITTEN)
        self._database = mongo_database(self._params)
        self._inputs = mongo.model_inputs(self._params.windows)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="tracks")

        self._waiting: list[PredictedRows] = []

    def process(self, element: PredictedRows) -> None:
        if self._job.holds:
            self._write([element])
        else:
            self._waiting.append(element)

    def finish_bundle(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._write(waiting)

    def _write(self, elements: Sequence[PredictedRows]) -> None:
        shards, ends, *frames = zip(*elements, strict=True)
        features, counters, predictions = (pl.concat(each) for each in frames)
        now = clock.now()
        if features.height:
            several = features["window_start"].n_unique() > 1
            news = mongo.latest(features, predictions) if several else (features, predictions)
            tracks = self._pool.submit(
                mongo.persistently,
                self._params.stream,
                lambda: mongo.replace_tracks(self._database, self._inputs, *news),
            )
            # Predictions first: somebody waits for them.
            if predictions.height:
                self._predictions.append(rows.stamped(predictions, now))
            self._features.append(rows.stamped(features, now))
            tracks.result()
        if counters.height:
            # Last: a window that is counted is written.
            self._counters.append(rows.counter_rows(counters))
        job, windows = self._job, self._params.windows
        if not job.holds:  # an element is one window there
            starts = [end - windows.window for end in ends]
            written = rows.written_rows(job.name, starts, shards, windows.shards, clock.now())
            self._written.append(written)
        for shard, end in zip(shards, ends, strict=True):
            pending = job.pending(shard, end)
            job.acknowledge_windows(shard, pending, partial(positions.save, self._params))

    def teardown(self) -> None:
        self._pool.shutdown()
        for appender in (self._features, self._predictions, self._counters, self._written):
            appender.close()


@dataclass(frozen=True)
class LiveWindows:
    """Writes each closed window's rows to BigQuery and Mongo, and saves the position."""

    params: Params

    def dofn(self, job: Job) -> beam.DoFn:
        """Return the DoFn that writes."""
        return _WriteWindowsDoFn(job, self.params)
