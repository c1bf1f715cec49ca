"""The names of the archive's files, which say what each holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

import polars as pl
from apache_beam.io.filesystems import FileSystems

from .. import clients
from ..errors import IntegrityError
from ..params import Params

_SPAN = re.compile(r"(\d+)-(\d+)-(\d+)")


def raw_folder(params: Params) -> str:
    """Return the folder of the topic's archive."""
    return FileSystems.join(clients.archive_uri(params), "raw", params.topic)


def file_name(rows: pl.DataFrame) -> str:
    """Name a file by its first append time and its spans, partition-first-last each.

    Names sort in the order of appending, or nearly; the spans tell what the archive holds
    without opening a file.

    Args:
        rows: ``partition``, ``offset`` and ``append_time``; of each partition all records from
            the first to the last.
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


@dataclass(frozen=True)
class ArchivedFile:
    """A file and what it holds: (partition, first offset, last offset) each."""

    path: str
    spans: tuple[tuple[int, int, int], ...]

    @property
    def name(self) -> str:
        """The name without the folders."""
        return PurePosixPath(self.path).name


def archived_files(params: Params) -> list[ArchivedFile]:
    """Return the files of the topic's archive by name.

    Raises:
        IntegrityError: one has another kind of name.
    """
    pattern = FileSystems.join(raw_folder(params), "*", "*.parquet")
    found = [_parse(item.path) for item in FileSystems.match([pattern])[0].metadata_list]
    return sorted(found, key=lambda file: file.name)


def _parse(path: str) -> ArchivedFile:
    matches = [
        _SPAN.fullmatch(span)
        for span in PurePosixPath(path).name.removesuffix(".parquet").split("_")[1:]
    ]
    if not matches or None in matches:
        raise IntegrityError(f"Nombre inesperado en el archivo: {path}.")
    spans = [tuple(int(group) for group in match.groups()) for match in matches if match]
    return ArchivedFile(path, tuple((p, first, last) for p, first, last in spans))


def coverage(files: Iterable[ArchivedFile]) -> dict[int, tuple[int, int]]:
    """Return per partition the first record archived and the one that follows the last.

    Raises:
        IntegrityError: records between them are missing.
    """
    held: dict[int, tuple[int, int]] = {}
    spans = sorted((span, file.name) for file in files for span in file.spans)
    for (partition, first, last), name in spans:
        low, following = held.get(partition, (first, first))
        if first > following:
            raise missing({partition: (following, first)}, f"antes de {name}")
        held[partition] = low, max(following, last + 1)
    return held


def missing(ranges: Mapping[int, tuple[int, int]], where: str) -> IntegrityError:
    """Return the error that says which records (first, following) the archive lacks."""
    texts = [
        f"de la partición {partition}, del {first} al {following - 1}"
        for partition, (first, following) in ranges.items()
    ]
    return IntegrityError(
        f"Al archivo le faltan registros: {'; '.join(texts)} ({where}). "
        "Recupera sus archivos de una copia, o vacía la carpeta y procesa el tema otra vez."
    )
