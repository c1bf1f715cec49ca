"""Live rows to BigQuery through the Storage Write API."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from ...config.params import Params
from ...io.bigquery.appending import Appender
from ..job import Job
from .buffered import BufferedDoFn
from .rows import RecordRows


class _AppendDoFn(BufferedDoFn):
    def __init__(self, job: Job, interval: float, params: Params, rows: RecordRows) -> None:
        super().__init__(job, rows.name, interval)
        self._params = params
        self._rows = rows

    def setup(self) -> None:
        self._appender = Appender(self._params, self._rows.table)

    def select(self, marked: pl.DataFrame) -> pl.DataFrame:
        return self._rows.of(marked)

    def write(self, rows: pl.DataFrame) -> None:
        self._appender.append(rows)

    def teardown(self) -> None:
        super().teardown()
        self._appender.close()


@dataclass(frozen=True)
class AppendSink:
    """Appends rows of records to their table."""

    params: Params
    interval: float
    rows: RecordRows

    @property
    def name(self) -> str:
        """Name the sink within its job."""
        return self.rows.name

    def dofn(self, job: Job) -> BufferedDoFn:
        """Return the DoFn that writes."""
        return _AppendDoFn(job, self.interval, self.params, self.rows)
