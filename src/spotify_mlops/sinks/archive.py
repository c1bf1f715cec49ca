"""The archive of the log: Parquet under ``raw/``, enough to rebuild the topic."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

import polars as pl
from apache_beam.io.filesystems import FileSystems

from .. import clients
from ..errors import IntegrityError
from ..events import LOG_COLUMNS
from ..params import Params
from ..pipeline import steps
from . import files
from .buffered import BufferedDoFn

_SPAN = re.compile(r"(\d+)-(\d+)-(\d+)")


def raw_folder(params: Params) -> str:
    """Return the folder of the topic's archive."""
    return FileSystems.join(clients.archive_uri(params), "raw", params.topic)


def file_name(rows: pl.DataFrame) -> str:
    """Name a file by its first append time and its ranges, partition-first-last each.

    Names sort in the order of appending; the ranges tell what the archive holds without opening
    a file.
    """
    first = rows["append_time"].min()
    assert isinstance(first, datetime)
    ranges = (
        rows.group_by("partition")
        .agg(first=pl.col("offset").min(), last=pl.col("offset").max())
        .sort("partition")
    )
    spans = "_".join(f"{p}-{low}-{high}" for p, low, high in ranges.iter_rows())
    return f"{first:%Y%m%dT%H%M%S%f}_{spans}.parquet"


def coverage(params: Params) -> dict[int, int]:
    """Return per partition the record that follows the last one archived."""
    following: dict[int, int] = {}
    for partition, _, last in _spans(params):
        following[partition] = max(following.get(partition, 0), last + 1)
    return following


def beginnings(params: Params) -> dict[int, int]:
    """Return per partition the first record archived."""
    firsts: dict[int, int] = {}
    for partition, first, _ in _spans(params):
        firsts[partition] = min(firsts.get(partition, first), first)
    return firsts


def _spans(params: Params) -> Iterator[tuple[int, int, int]]:
    pattern = FileSystems.join(raw_folder(params), "*", "*.parquet")
    for item in FileSystems.match([pattern])[0].metadata_list:
        spans = item.path.rsplit("/", 1)[-1].removesuffix(".parquet").split("_")[1:]
        for span in spans:
            match = _SPAN.fullmatch(span)
            if match is None:
                raise IntegrityError(f"Nombre inesperado en el archivo: {item.path}.")
            partition, first, last = (int(group) for group in match.groups())
            yield partition, first, last


class _WriteArchiveDoFn(BufferedDoFn):
    def __init__(self, job: str, params: Params, skip: Mapping[int, int], interval: float) -> None:
        super().__init__(job, "Archive", interval)
        self._params = params
        self._skip = dict(skip)

    def select(self, marked: pl.DataFrame) -> pl.DataFrame:
        unwritten = steps.at_or_after(marked, self._skip)
        return unwritten.select(pl.lit(self._params.topic).alias("topic"), *LOG_COLUMNS)

    def write(self, rows: pl.DataFrame) -> None:
        days = rows.with_columns(_day=pl.col("append_time").dt.date())
        for (day,), part in days.partition_by("_day", as_dict=True, include_key=False).items():
            self._write_day(day, part)

    def _write_day(self, day: date, rows: pl.DataFrame) -> None:
        folder = FileSystems.join(raw_folder(self._params), f"append_day={day.isoformat()}")
        files.write_parquet(
            FileSystems.join(folder, file_name(rows)), rows.sort("partition", "offset")
        )


@dataclass(frozen=True)
class ArchiveSink:
    """Writes every record of the log as it is, with its position and append time."""

    params: Params
    interval: float
    skip: Mapping[int, int] = field(default_factory=dict)
    """Per partition, records below this are archived already."""
    name: str = "Archive"

    def dofn(self, job: str) -> BufferedDoFn:
        """Return the DoFn that writes."""
        return _WriteArchiveDoFn(job, self.params, self.skip, self.interval)
