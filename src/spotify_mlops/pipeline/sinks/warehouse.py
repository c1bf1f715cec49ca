"""Live rows to BigQuery through the Storage Write API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from ...config.params import Params
from ...domain.windows import Windowing
from ...io.bigquery import tables
from ...io.bigquery.appending import Appender
from ..crossings import crossings
from ..job import Job
from . import rows
from .buffered import BufferedDoFn


class _AppendDoFn(BufferedDoFn):
    def __init__(
        self,
        job: Job,
        name: str,
        interval: float,
        params: Params,
        table: tables.Table,
        select: Callable[[pl.DataFrame], pl.DataFrame],
    ) -> None:
        super().__init__(job, name, interval)
        self._params = params
        self._table = table
        self._rows_of = select

    def setup(self) -> None:
        self._appender = Appender(self._params, self._table)

    def select(self, marked: pl.DataFrame) -> pl.DataFrame:
        return self._rows_of(marked)

    def write(self, rows: pl.DataFrame) -> None:
        self._appender.append(rows)

    def teardown(self) -> None:
        super().teardown()
        self._appender.close()


@dataclass(frozen=True)
class EventsSink:
    """Appends every event, late ones too, to ``spotify_events``."""

    params: Params
    interval: float
    name: str = "Events"

    def dofn(self, job: Job) -> BufferedDoFn:
        """Return the DoFn that writes."""
        windowing = Windowing.of(self.params.windows)
        return _AppendDoFn(
            job,
            self.name,
            self.interval,
            self.params,
            tables.EVENTS,
            lambda marked: rows.event_rows(marked, windowing),
        )


@dataclass(frozen=True)
class HeartbeatsSink:
    """Appends a row of ``spotify_counters`` for each heartbeat."""

    params: Params
    interval: float
    name: str = "Heartbeats"

    def dofn(self, job: Job) -> BufferedDoFn:
        """Return the DoFn that writes."""
        return _AppendDoFn(
            job, self.name, self.interval, self.params, tables.COUNTERS, rows.heartbeat_rows
        )


@dataclass(frozen=True)
class CrossingsSink:
    """Appends a row of ``spotify_crossings`` where a partition reaches a window."""

    params: Params
    interval: float
    name: str = "Crossings"

    def dofn(self, job: Job) -> BufferedDoFn:
        """Return the DoFn that writes."""
        windowing = Windowing.of(self.params.windows)
        return _AppendDoFn(
            job,
            self.name,
            self.interval,
            self.params,
            tables.CROSSINGS,
            lambda marked: crossings(marked, windowing),
        )
