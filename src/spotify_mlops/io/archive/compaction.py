"""The same archive in fewer, larger files.

The live job leaves a file a second. Consecutive files of one day are merged into one with the
same records, sorted by partition and offset. The new file is there, whole and read back, before
those that it holds go away: killed at any moment, this leaves files that overlap, which readers
know, and the next time removes what is left over. A reader that listed files before lists again.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems

from ...config.errors import IntegrityError
from ...config.params import Params
from ...config.progress import Progress, silent
from .. import files
from ..local import state
from . import archived
from .archived import ArchivedFile

FRESH_FILES = 128
"""Files of the day that goes on which were never merged, before they are."""
MERGED_BYTES = 64 << 20
"""Of records, unpacked, in one file: what a merge, and whoever reads the file, has in memory."""
MERGED_FILES = 512
"""In one merge, so that none takes long; what comes of it is merged the next time."""
GROUP_ROWS = 64 * 1024
_LEVEL = 6
"""Of Zstandard."""
_MERGED = b"spotify_mlops.merged"
"""In a file's metadata: it was merged from others."""
_PARTIAL = re.compile(r"\..+\.parquet\.(\d+)")
"""What `files.write_bytes` leaves when it is killed, with the process that wrote it."""


@dataclass(frozen=True)
class Compacted:
    """What was merged: files and bytes before, and those in their place."""

    files: int = 0
    bytes: int = 0
    merged: int = 0
    merged_bytes: int = 0
    records: int = 0
    removed: int = 0
    """Files that were left over: another one held all of theirs."""

    def __add__(self, other: Compacted) -> Compacted:
        sums = {name: value + getattr(other, name) for name, value in vars(self).items()}
        return Compacted(**sums)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)


@dataclass
class Compactor:
    """Merges the files of one archive; remembers what it has seen of them."""

    params: Params
    _looks: dict[str, _Look] = field(default_factory=dict)

    def compact(
        self, *, everything: bool = False, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Compacted]:
        """Merge what is due, one file after the other; yield what each merge did.

        A day that is over is merged as far as files get full. Of the day that goes on,
        ``FRESH_FILES`` are merged together, and with older files that have no more records: a
        record is then written again as often as the file that holds it doubles.

        Args:
            everything: merge the day that goes on like one that is over.
            stop: asked after each file whether to leave the rest.

        Raises:
            IntegrityError: records are missing, or two files differ in what they say of one.
            ServiceError: the folder cannot be written.
        """
        with state.locked(f"archive-{self.params.profile}-{self.params.kafka.topic}"):
            _remove_partial(archived.raw_folder(self.params))
            listed = archived.archived_files(self.params)
            runs, left = _runs(listed)
            if left:
                files.delete([file.path for file in left])
                yield Compacted(removed=len(left))
            seen = {file.path for file in listed}
            self._looks = {path: look for path, look in self._looks.items() if path in seen}
            for run in runs:
                growing = run is runs[-1] and not everything
                for group in self._groups(self._due(run) if growing else run):
                    if stop():
                        return
                    yield from _merge(group)

    def _due(self, run: list[ArchivedFile]) -> list[ArchivedFile]:
        """Return what is to be merged of the files at the archive's end."""
        start = len(run)
        while start > 0 and not self._look(run[start - 1]).merged:
            start -= 1
        if len(run) - start < FRESH_FILES:
            return []
        records = sum(file.records for file in run[start:])
        while start > 0 and run[start - 1].records <= records:
            start -= 1
            records += run[start].records
        return run[start:]

    def _groups(self, run: list[ArchivedFile]) -> Iterator[list[ArchivedFile]]:
        """Cut a run into what can be one file: not too large, and without a hole."""
        group: list[ArchivedFile] = []
        held: dict[int, tuple[int, int]] = {}
        unpacked = 0
        for file in run if len(run) > 1 else ():
            size = self._look(file).unpacked
            full = unpacked + size > MERGED_BYTES or len(group) == MERGED_FILES
            if full or not _goes_on(held, file):
                yield group
                group, held, unpacked = [], {}, 0
            group.append(file)
            unpacked += size
            for partition, first, last in file.spans:
                low, high = held.get(partition, (first, last))
                held[partition] = min(low, first), max(high, last)
        yield group

    def _look(self, file: ArchivedFile) -> _Look:
        """Return what a file says of itself, asked once."""
        if file.path not in self._looks:
            self._looks[file.path] = _Look.at(file.path)
        return self._looks[file.path]


def compact(params: Params, say: Progress = silent) -> Compacted:
    """Merge all files of the archive until they are full, now; see `Compactor.compact`."""
    done, merged = Compacted(), -1
    compactor = Compactor(params)
    while merged != done.merged:
        merged = done.merged
        for step in compactor.compact(everything=True):
            done += step
            say(f"{done.files} ficheros en {done.merged}")
    return done


@dataclass(frozen=True)
class _Look:
    merged: bool
    unpacked: int

    @classmethod
    def at(cls, path: str) -> _Look:
        with FileSystems.open(path) as stream:
            found = pq.read_metadata(stream)
        groups = (found.row_group(group).total_byte_size for group in range(found.num_row_groups))
        return cls(_MERGED in (found.metadata or {}), sum(groups))


def _runs(listed: Iterable[ArchivedFile]) -> tuple[list[list[ArchivedFile]], list[ArchivedFile]]:
    """Cut an archive, in the order of reading, into files that follow each other in one folder.

    Return also those whose content another one has.
    """
    runs: list[list[ArchivedFile]] = []
    left = []
    furthest: dict[int, ArchivedFile] = {}
    for file in archived.in_reading_order(listed):
        if any(file.within(furthest[p]) for p, _, _ in file.spans if p in furthest):
            left.append(file)
            continue
        if not (runs and runs[-1][-1].folder == file.folder):
            runs.append([])
        while runs[-1] and runs[-1][-1].within(file):
            left.append(runs[-1].pop())
        runs[-1].append(file)
        for partition, _, last in file.spans:
            reached = furthest.get(partition)
            if reached is None or _last(reached, partition) <= last:
                furthest[partition] = file
    return runs, left


def _goes_on(held: Mapping[int, tuple[int, int]], file: ArchivedFile) -> bool:
    return all(
        first <= held[p][1] + 1 and last >= held[p][0] - 1
        for p, first, last in file.spans
        if p in held
    )


def _last(file: ArchivedFile, partition: int) -> int:
    return max(last for p, _, last in file.spans if p == partition)


def _merge(group: Sequence[ArchivedFile]) -> Iterator[Compacted]:
    """Merge files that follow each other; in parts, where they are larger than they said."""
    part: list[ArchivedFile] = []
    frames: list[pl.DataFrame] = []
    unpacked = 0
    for file in group if len(group) > 1 else ():
        rows = _read(file.path)
        size = int(rows["value"].bin.size().sum())
        if part and (unpacked + size > 2 * MERGED_BYTES or rows.schema != frames[0].schema):
            yield from _write(part, frames)
            part, frames, unpacked = [], [], 0
        part.append(file)
        frames.append(rows)
        unpacked += size
    yield from _write(part, frames)


def _write(part: Sequence[ArchivedFile], frames: Sequence[pl.DataFrame]) -> Iterator[Compacted]:
    """Write one file in the place of several, then remove those."""
    if len(part) < 2:
        return
    rows = _once(part, pl.concat(frames))
    target = FileSystems.join(part[0].folder, archived.file_name(rows))
    content = _encode(rows)
    files.write_bytes(target, content)
    if not _read(target).equals(rows):
        raise IntegrityError(f"{target} no tiene lo que se escribió: los que reúne se quedan.")
    files.delete([file.path for file in part if file.path != target])
    size = sum(file.size for file in part)
    yield Compacted(len(part), size, merged=1, merged_bytes=len(content), records=rows.height)


def _once(part: Sequence[ArchivedFile], rows: pl.DataFrame) -> pl.DataFrame:
    """Return the records of files, each once, by partition and offset.

    Raises:
        IntegrityError: some are missing, or one is there twice and not the same.
    """
    where = f"en {part[0].folder}, de {part[0].name} a {part[-1].name}"
    held = {
        p: (min(low for low, _ in spans), max(last for _, last in spans))
        for p, spans in _spans(part).items()
    }
    if rows.height != sum(last - low + 1 for low, last in held.values()):
        rows = rows.unique(maintain_order=True)
    rows = rows.sort("partition", "offset")
    if rows.select("partition", "offset").is_duplicated().any():
        raise IntegrityError(f"Dos ficheros dicen cosas distintas de un registro, {where}.")
    found = {p: offsets for (p,), offsets in rows.select("partition", "offset").partition_by(
        "partition", as_dict=True).items()}  # fmt: skip
    for partition, (low, last) in held.items():
        offsets = found.pop(partition, rows[:0])["offset"]
        if not offsets.equals(pl.int_range(low, last + 1, eager=True)):
            raise archived.missing({partition: (low, last + 1)}, where)
    return rows


def _spans(part: Iterable[ArchivedFile]) -> dict[int, list[tuple[int, int]]]:
    spans: dict[int, list[tuple[int, int]]] = {}
    for file in part:
        for partition, first, last in file.spans:
            spans.setdefault(partition, []).append((first, last))
    return spans


def _read(path: str) -> pl.DataFrame:
    with FileSystems.open(path) as stream, pq.ParquetFile(stream) as content:
        rows = pl.from_arrow(content.read(use_threads=False))  # the job needs the processors
    assert isinstance(rows, pl.DataFrame)
    return rows


def _encode(rows: pl.DataFrame) -> bytes:
    """Return sorted rows as a Parquet file; each of its groups is of one partition."""
    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    buffer = io.BytesIO()
    with pq.ParquetWriter(
        buffer,
        table.schema,
        compression="zstd",
        compression_level=_LEVEL,
        use_dictionary=["topic", "partition"],  # a record is hardly ever there twice
        write_statistics=["partition", "offset", "append_time"],
        store_schema=False,
    ) as writer:
        writer.add_key_value_metadata({_MERGED: b"1"})
        start = 0
        for count in rows.group_by("partition", maintain_order=True).len()["len"]:
            writer.write_table(table.slice(start, count), GROUP_ROWS)
            start += count
    return buffer.getvalue()


def _remove_partial(folder: str) -> None:
    """Remove what processes left that were killed while they wrote into a local folder."""
    if "://" in folder or not Path(folder).is_dir():
        return
    for day in Path(folder).iterdir():
        for path in day.glob(".*.parquet.*"):
            found = _PARTIAL.fullmatch(path.name)
            if found and not psutil.pid_exists(int(found[1])):
                path.unlink(missing_ok=True)
