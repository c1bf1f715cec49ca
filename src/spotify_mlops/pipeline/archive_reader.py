"""The archive of the log, read in place of the topic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

import polars as pl
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems

from ..config.errors import IntegrityError
from ..config.params import Params
from ..domain.events import LOG_COLUMNS, withheld
from ..io.archive.archived import ArchivedFile, archived_files, missing, take_next

_OTHERS = 2**63 - 1
"""As the next record of a partition that another source reads: nothing of it is left here."""


class ArchiveReader:
    """Reads the archive's Parquet files in offset order, each record once.

    Files overlap where a job was killed between writing one and saving its position. Their names
    say what they hold; a file is read when what precedes it in all its partitions has been.
    """

    def __init__(self, params: Params, offsets: Mapping[int, int]) -> None:
        """List the files under ``raw/``; ``offsets`` is where each partition begins."""
        self._params = params
        self._next = dict(offsets)
        self._list()
        self._batches = self._read()

    def _list(self) -> None:
        self._waiting = archived_files(self._params)[::-1]
        held = {p for file in self._waiting for p, _, _ in file.spans}
        self._next |= dict.fromkeys(held - self._next.keys(), _OTHERS)

    def _read(self) -> Iterator[pl.DataFrame]:
        while (file := take_next(self._waiting, self._next)) is not None:
            try:
                yield from self._unread(file)
            except Exception:  # file systems have many words for a file that is not there
                self._list()
                if any(listed.path == file.path for listed in self._waiting):
                    raise
                # It was merged with others since it was listed: go on in the one that holds it.
        if self._waiting:
            file = self._waiting[-1]
            holes = {
                p: (self._next.get(p, 0), first)
                for p, first, _ in file.spans
                if first > self._next.get(p, 0)
            }
            raise missing(holes, f"antes de {file.name}")

    def _unread(self, file: ArchivedFile) -> Iterator[pl.DataFrame]:
        """Yield what a file holds that was not read, a group of its rows after the other."""
        following = {p: first for p, first, _ in file.spans}
        with FileSystems.open(file.path) as stream, pq.ParquetFile(stream) as content:
            for group in _by_time(content.metadata):
                frame = pl.from_arrow(content.read_row_group(group, columns=list(LOG_COLUMNS)))
                assert isinstance(frame, pl.DataFrame)
                frame = frame.with_columns(withheld.archived(frame["value"].cast(pl.Binary)))
                rows = frame.cast(pl.Schema(LOG_COLUMNS)).sort("partition", "offset")
                parts = []
                for part in rows.partition_by("partition", maintain_order=True):
                    partition = part["partition"][0]
                    first = following.get(partition, 0)
                    end = first + part.height
                    if not part["offset"].equals(pl.int_range(first, end, eager=True)):
                        raise _torn(file, partition)
                    following[partition] = end
                    unread = self._next.get(partition, 0)
                    parts.append(part.filter(pl.col("offset") >= unread))
                    self._next[partition] = max(unread, end)
                yield from pl.concat(parts).iter_slices(self._params.stream.batch_records)
        for partition, _, last in file.spans:
            if following[partition] != last + 1:
                raise _torn(file, partition)

    def poll(self) -> pl.DataFrame:
        """Return the next records.

        Raises:
            IntegrityError: offsets are missing in the archive, or it ended.
        """
        try:
            return next(self._batches)
        except StopIteration:
            raise IntegrityError(
                f"El archivo acaba antes de lo esperado; siguiente registro: {self._next}."
            ) from None

    def close(self) -> None:
        """Nothing stays open between batches."""


def _torn(file: ArchivedFile, partition: int) -> IntegrityError:
    spans = {p: (first, last + 1) for p, first, last in file.spans}
    return missing({partition: spans.get(partition, (0, 0))}, f"alguno, dentro de {file.name}")


def _by_time(metadata: pq.FileMetaData) -> list[int]:
    """Return a file's groups of rows by time, so that no partition is far ahead of another.

    In a file that was merged each holds rows of one partition. Where one holds more, they stay in
    the file's order.
    """
    names = metadata.schema.names
    columns = names.index("partition"), names.index("append_time")
    reached: dict[int, datetime] = {}
    times = []
    for group in range(metadata.num_row_groups):
        partition, time = (metadata.row_group(group).column(i).statistics for i in columns)
        if not partition or not time or partition.min != partition.max:
            return list(range(metadata.num_row_groups))
        # A partition's rows keep their order though the broker's clock was set back.
        reached[partition.min] = max(reached.get(partition.min, time.min), time.min)
        times.append(reached[partition.min])
    return sorted(range(len(times)), key=times.__getitem__)
