"""The archive of the log: Parquet under ``raw/``, enough to rebuild the topic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

import polars as pl
from apache_beam.io.filesystems import FileSystems

from ...config.params import Params
from ...domain.events import LOG_COLUMNS
from ...io import files
from ...io.archive import archived
from .. import steps
from ..job import Job
from . import positions
from .buffered import BufferedDoFn


def spans(params: Params) -> dict[int, tuple[int, int]]:
    """Return per partition the first record archived and the one that follows the last.

    Raises:
        IntegrityError: records between them are missing.
    """
    return archived.coverage(archived.archived_files(params))


def coverage(params: Params) -> dict[int, int]:
    """Return per partition the record that follows the last one archived.

    Raises:
        IntegrityError: records before it are missing.
    """
    return {partition: following for partition, (_, following) in spans(params).items()}


def extent(params: Params) -> tuple[dict[int, int], dict[int, int]]:
    """Return per partition the first record archived and the one that follows the last.

    Raises:
        IntegrityError: records are missing between them, or after them up to where the job has
            said that the archive holds them.
    """
    held = spans(params)
    saved = positions.load(params)
    acknowledged = saved.acknowledged if saved is not None else {}
    lost = {
        partition: (held[partition][1] if partition in held else 0, following)
        for partition, following in acknowledged.items()
        if following > (held[partition][1] if partition in held else 0)
    }
    if lost:
        raise archived.missing(lost, "los últimos")
    return {p: low for p, (low, _) in held.items()}, {p: high for p, (_, high) in held.items()}


def by_append_day(rows: pl.DataFrame) -> Iterator[tuple[date, pl.DataFrame]]:
    """Cut rows by day so that a part has all records of a partition from its first to its last.

    A partition's days come one after the other unless the broker's clock was set back: then
    one is cut again where it goes on.
    """
    day = pl.col("append_time").dt.date()
    turns = (day != day.shift()).fill_null(False).cum_sum().over("partition")
    cut = rows.sort("partition", "offset").with_columns(_day=day, _turn=turns)
    for (found, _), part in cut.partition_by(
        ["_day", "_turn"], as_dict=True, include_key=False
    ).items():
        yield found, part


class _WriteArchiveDoFn(BufferedDoFn):
    def __init__(self, job: Job, params: Params, skip: Mapping[int, int], interval: float) -> None:
        super().__init__(job, "Archive", interval)
        self._params = params
        self._skip = dict(skip)

    def select(self, marked: pl.DataFrame) -> pl.DataFrame:
        unwritten = steps.at_or_after(marked, self._skip)
        return unwritten.select(pl.lit(self._params.kafka.topic).alias("topic"), *LOG_COLUMNS)

    def write(self, rows: pl.DataFrame) -> None:
        for day, part in by_append_day(rows):
            self._write_day(day, part)

    def _write_day(self, day: date, rows: pl.DataFrame) -> None:
        folder = FileSystems.join(
            archived.raw_folder(self._params), f"append_day={day.isoformat()}"
        )
        files.write_parquet(FileSystems.join(folder, archived.file_name(rows)), rows)


@dataclass(frozen=True)
class ArchiveSink:
    """Writes every record of the log as it is, with its position and append time."""

    params: Params
    interval: float
    skip: Mapping[int, int] = field(default_factory=dict)
    """Per partition, records below this are archived already."""
    name: str = "Archive"

    def dofn(self, job: Job) -> BufferedDoFn:
        """Return the DoFn that writes."""
        return _WriteArchiveDoFn(job, self.params, self.skip, self.interval)
