"""What a bounded run writes: Parquet files, a folder a table, for load jobs afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import apache_beam as beam
import polars as pl

from ...config.sections import Windows
from ...io import files
from ...io.bigquery.frames import arrow_schema, conform
from ...io.bigquery.tables import Table, log_tables
from .. import clock
from ..job import Job
from ..transforms import PredictedRows
from . import rows
from .buffered import BufferedDoFn
from .rows import RecordRows


@dataclass(frozen=True)
class Staging:
    """A folder with the files of one bounded run: of this machine, or of a bucket.

    From a bucket BigQuery loads the files as they are: each has its table's columns, whole.
    """

    folder: str | Path
    tables: Mapping[str, Table] = field(default_factory=dict)
    """By name, those whose files are conformed when they are written."""

    @classmethod
    def of(cls, folder: str, windows: Windows) -> Staging:
        """Return the staging of a run whose files go to a folder."""
        if "://" not in folder:
            return cls(folder)
        return cls(folder, {table.name: table for table in log_tables(windows)})

    @property
    def name(self) -> str:
        """Return the last part of the folder's name."""
        return str(self.folder).rpartition("/")[2]

    def clear(self) -> None:
        """Remove what an earlier run left."""
        if "://" not in str(self.folder):
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        for table in files.folders(str(self.folder)):
            files.delete(self.files(table))

    def files(self, table: str) -> list[str]:
        """Return a table's files."""
        folder = f"{self.folder}/{table}"
        return [f"{folder}/{name}" for name in files.names(folder) if name.endswith(".parquet")]

    def read(self, table: str) -> pl.DataFrame | None:
        """Return a table's rows; None when there are none."""
        found = self.files(table)
        return pl.concat(map(files.read_parquet, found)) if found else None

    def marks(self, partitions: Iterable[int]) -> dict[int, datetime | None]:
        """Return the mark of each partition after all that was staged of it."""
        times = {"spotify_events": "event_time", "spotify_counters": "heartbeat_time"}
        last = dict.fromkeys(partitions)
        for table, time in times.items():
            for file in self.files(table):
                # A file of windows' counters has no heartbeats.
                rows = files.read_parquet(file, ["log_partition", time])
                if time not in rows.columns:
                    continue
                found = rows.drop_nulls().group_by("log_partition").agg(pl.col(time).max())
                for partition, mark in found.iter_rows():
                    known = last.get(partition)
                    last[partition] = mark if known is None else max(mark, known)
        return last

    def write(self, table: str, name: str, frame: pl.DataFrame) -> None:
        """Add a file to a table."""
        if not frame.height:
            return
        declared = self.tables.get(table)
        if declared is not None:
            conformed = pl.from_arrow(conform(frame.to_arrow(), arrow_schema(declared)))
            assert isinstance(conformed, pl.DataFrame)
            frame = conformed
        files.write_parquet(f"{self.folder}/{table}/{name}.parquet", frame)


class _StageRawDoFn(BufferedDoFn):
    def __init__(self, job: Job, staging: Staging, rows: RecordRows) -> None:
        super().__init__(job, rows.name, 0)
        self._staging = staging
        self._rows = rows

    def select(self, marked: pl.DataFrame) -> pl.DataFrame:
        return self._rows.of(marked)

    def write(self, rows: pl.DataFrame) -> None:
        # By the first record in it: a runner may use several instances of this DoFn.
        partition, offset = rows.select("log_partition", "log_offset").row(0)
        name = f"{self._rows.name}-{partition}-{offset:012d}"
        self._staging.write(self._rows.table.name, name, rows)


@dataclass(frozen=True)
class StageRaw:
    """Stages rows of records for their table."""

    staging: Staging
    rows: RecordRows

    @property
    def name(self) -> str:
        """Name the sink within its job."""
        return self.rows.name

    def dofn(self, job: Job) -> BufferedDoFn:
        """Return the DoFn that writes."""
        return _StageRawDoFn(job, self.staging, self.rows)


class _StageWindowsDoFn(beam.DoFn):
    def __init__(self, staging: Staging) -> None:
        self._staging = staging

    def process(self, element: PredictedRows) -> None:
        shard, end, features, counters, predictions = element
        now = clock.now()
        name = f"windows-{end:%Y%m%dT%H%M%S%f}-{shard:04d}"
        self._staging.write("spotify_features", name, rows.stamped(features, now))
        self._staging.write("spotify_predictions", name, rows.stamped(predictions, now))
        self._staging.write("spotify_counters", name, rows.counter_rows(counters))


@dataclass(frozen=True)
class StageWindows:
    """Stages features, predictions and counters of closed windows."""

    staging: Staging

    def dofn(self, job: Job) -> beam.DoFn:
        """Return the DoFn that writes."""
        return _StageWindowsDoFn(self.staging)
