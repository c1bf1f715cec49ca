"""The names of the archive's files, which say what each holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

import polars as pl
from apache_beam.io.filesystems import FileSystems

from ...config.errors import IntegrityError
from ...config.params import Params
from .location import archive_root

_SPAN = re.compile(r"(\d+)-(\d+)-(\d+)")


def raw_folder(params: Params) -> str:
    """Return the folder of the topic's archive."""
    return FileSystems.join(archive_root(params), "raw", params.kafka.topic)


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
    size: int = 0
    """Bytes."""

    @property
    def name(self) -> str:
        """The name without the folders."""
        return PurePosixPath(self.path).name

    @property
    def folder(self) -> str:
        """The folder: there is one for each day of appending."""
        return self.path.removesuffix(f"/{self.name}")

    @property
    def records(self) -> int:
        """How many records it holds."""
        return sum(last - first + 1 for _, first, last in self.spans)

    def within(self, other: ArchivedFile) -> bool:
        """Tell whether another file holds all that this one does."""
        held = {p: (first, last) for p, first, last in other.spans}
        return all(
            p in held and held[p][0] <= first and last <= held[p][1]
            for p, first, last in self.spans
        )


def archived_files(params: Params) -> list[ArchivedFile]:
    """Return the files of the topic's archive by name.

    A listing that is made while files are merged may have neither those nor the new one. It is
    made again until nothing has gone meanwhile.

    Raises:
        IntegrityError: one has another kind of name.
    """
    listed = _list(params)
    while not (again := _list(params)).keys() >= listed.keys():
        listed = again
    return sorted(again.values(), key=lambda file: file.name)


def _list(params: Params) -> dict[str, ArchivedFile]:
    pattern = FileSystems.join(raw_folder(params), "*", "*.parquet")
    found = FileSystems.match([pattern])[0].metadata_list
    return {item.path: _parse(item.path, item.size_in_bytes) for item in found}


def _parse(path: str, size: int) -> ArchivedFile:
    matches = [
        _SPAN.fullmatch(span)
        for span in PurePosixPath(path).name.removesuffix(".parquet").split("_")[1:]
    ]
    if not matches or None in matches:
        raise IntegrityError(f"Nombre inesperado en el archivo: {path}.")
    spans = [tuple(int(group) for group in match.groups()) for match in matches if match]
    return ArchivedFile(path, tuple((p, first, last) for p, first, last in spans), size)


def take_next(waiting: list[ArchivedFile], following: Mapping[int, int]) -> ArchivedFile | None:
    """Take the next file to read: what precedes it in all its partitions has been read.

    Args:
        waiting: the last one first; those that have been read go away too.
        following: per partition, the first record that has not been read (0 where it is absent).

    Returns:
        None when none can be read.
    """
    for index in reversed(range(len(waiting))):
        file = waiting[index]
        if all(last < following.get(p, 0) for p, _, last in file.spans):
            del waiting[index]
        elif all(first <= following.get(p, 0) for p, first, _ in file.spans):
            return waiting.pop(index)
    return None


def in_reading_order(files: Iterable[ArchivedFile]) -> Iterator[ArchivedFile]:
    """Yield files so that each goes on from those before it, in all its partitions.

    Their names are nearly in this order. One that holds nothing new comes as early as it can.

    Raises:
        IntegrityError: records are missing.
    """
    waiting = sorted(files, key=lambda file: file.name, reverse=True)
    following = {p: low for p, (low, _) in coverage(waiting).items()}
    while waiting:
        for index in reversed(range(len(waiting))):
            if all(first <= following[p] for p, first, _ in waiting[index].spans):
                break
        file = waiting.pop(index)
        for partition, _, last in file.spans:
            following[partition] = max(following[partition], last + 1)
        yield file


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
