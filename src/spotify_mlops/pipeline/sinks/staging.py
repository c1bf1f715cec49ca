"""What a bounded run writes: Parquet files, a folder a table, for load jobs afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import apache_beam as beam
import polars as pl

from ...domain.events.schema import UTC_MICROSECONDS
from ...domain.schemas import LOG_POSITION_SCHEMA
from ...io import files
from .. import clock
from ..job import Job
from ..transforms import PredictedRows
from . import rows
from .buffered import BufferedDoFn
from .rows import RecordRows


@dataclass(frozen=True)
class Staging:
    """A folder of this machine with the files of one bounded run."""

    folder: Path

    def clear(self) -> None:
        """Remove what an earlier run left."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def files(self, table: str) -> list[Path]:
        """Return a table's files."""
        return sorted((self.folder / table).glob("*.parquet"))

    def read(self, table: str) -> pl.DataFrame | None:
        """Return a table's rows; None when there are none."""
        found = self.files(table)
        return pl.read_parquet(found) if found else None

    def marks(self, partitions: Iterable[int]) -> dict[int, datetime | None]:
        """Return the mark of each partition after all that was staged of it."""
        times = {"spotify_events": "event_time", "spotify_counters": "heartbeat_time"}
        staged = [
            pl.scan_parquet(
                found,
                schema=LOG_POSITION_SCHEMA.only("log_partition") | {time: UTC_MICROSECONDS},
                missing_columns="insert",  # a file of windows' counters has no heartbeats
                extra_columns="ignore",
            )
            .select("log_partition", mark=pl.col(time))
            .drop_nulls()
            for table, time in times.items()
            if (found := self.files(table))
        ]
        if not staged:
            return dict.fromkeys(partitions)
        last = pl.concat(staged).group_by("log_partition").agg(pl.col("mark").max()).collect()
        return dict.fromkeys(partitions) | dict(last.iter_rows())

    def write(self, table: str, name: str, frame: pl.DataFrame) -> None:
        """Add a file to a table."""
        if frame.height:
            files.write_parquet(str(self.folder / table / f"{name}.parquet"), frame)


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
