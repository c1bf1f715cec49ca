"""Compaction interrupted, beside readers and writers, and of an archive that is not whole."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import polars as pl
import pytest

from archives import a_day, read, records, store, stored
from spotify_mlops.config import params
from spotify_mlops.config.errors import IntegrityError
from spotify_mlops.config.params import Params
from spotify_mlops.io.archive import archived, compaction
from spotify_mlops.pipeline.archive_reader import ArchiveReader
from spotify_mlops.pipeline.sinks import archive


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "state"))
    return params.load("local", archive=str(tmp_path / "archive"), batch_records=7)


class Killed(BaseException):
    """In the place of kill -9: nothing runs after it."""


def interrupted(settings: Params, monkeypatch: pytest.MonkeyPatch, steps: int) -> bool:
    """Compact, and stop after so many changes to the folder; True if it was stopped."""
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if done > steps:
            raise Killed

    replace, unlink = Path.replace, Path.unlink

    def replaced(self: Path, target: Path) -> Path:
        step()
        return replace(self, target)

    def unlinked(self: Path, missing_ok: bool = False) -> None:
        step()
        unlink(self, missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replaced)
        patched.setattr(Path, "unlink", unlinked)
        try:
            compaction.compact(settings)
        except Killed:
            return True
    return False


def test_killed_between_any_two_steps_it_loses_nothing(
    settings: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = a_day(settings, 12)
    start = {file.path: Path(file.path).read_bytes() for file in stored(settings)}
    steps, merged = 0, set[str]()
    while True:
        for file in stored(settings):
            Path(file.path).unlink()
        for path, content in start.items():
            Path(path).write_bytes(content)
        stopped = interrupted(settings, monkeypatch, steps)
        assert read(settings).equals(expected), steps
        compaction.compact(settings)
        assert read(settings).equals(expected), steps
        merged |= {file.path for file in stored(settings)}
        assert len(stored(settings)) == 1, steps
        if not stopped:
            break
        steps += 1
    assert steps == 13  # one file comes, twelve go
    assert len(merged) == 1


def test_what_is_left_over_beside_a_full_file_goes(
    settings: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = a_day(settings, 12)
    monkeypatch.setattr(compaction, "MERGED_BYTES", 1 << 20)
    assert interrupted(settings, monkeypatch, 4)
    assert len(stored(settings)) == 10
    monkeypatch.setattr(compaction, "MERGED_BYTES", 1)  # what is there is full
    done = compaction.compact(settings)
    assert (done.removed, done.merged) == (9, 0)
    assert read(settings).equals(expected)


def test_a_partial_file_of_a_process_that_ended_goes(settings: Params) -> None:
    a_day(settings, 2)
    folder = Path(stored(settings)[0].folder)
    mine, gone = (
        folder / f".20260105T120000000000_0-0-9.parquet.{pid}" for pid in (os.getpid(), 2**22 + 1)
    )
    for path in (mine, gone):
        path.write_bytes(b"PAR1")
    compaction.compact(settings)
    assert mine.exists()
    assert not gone.exists()


@pytest.mark.parametrize("already_read", [0, 1, 30])
def test_a_reader_that_listed_the_files_before_goes_on(settings: Params, already_read: int) -> None:
    expected = a_day(settings)
    reader = ArchiveReader(settings, {0: 0, 1: 0})
    parts = [reader.poll() for _ in range(already_read)]
    compaction.compact(settings)
    while sum(part.height for part in parts) < expected.height:
        parts.append(reader.poll())
    assert pl.concat(parts).sort("partition", "offset").equals(expected)


def test_a_file_that_is_lost_is_not_taken_for_one_that_was_merged(settings: Params) -> None:
    a_day(settings, 10)
    reader = ArchiveReader(settings, {0: 0, 1: 0})
    Path(stored(settings)[5].path).unlink()
    while reader.poll()["offset"][-1] != 49:
        pass
    with pytest.raises(IntegrityError, match="del 50 al"):
        reader.poll()


def test_a_listing_during_a_merge_is_made_again(
    settings: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that saw neither the files that went nor the one in their place is no archive."""
    a_day(settings)
    whole = stored(settings)
    original = archived._list

    def torn(asked: Params) -> dict[str, archived.ArchivedFile]:
        monkeypatch.setattr(archived, "_list", original)
        compaction.compact(settings)
        return {file.path: file for file in whole[:3]}

    monkeypatch.setattr(archived, "_list", torn)
    assert [file.records for file in stored(settings)] == [800]


def test_merging_while_the_job_writes_and_others_read(settings: Params) -> None:
    count = 300
    written = threading.Event()

    def write() -> None:
        for number in range(count):
            store(settings, records((0, 2 * number, 2 * number + 1), (1, number, number)))
        written.set()

    writer = threading.Thread(target=write)
    writer.start()
    compactor, rounds = compaction.Compactor(settings), 0
    while not (written.is_set() and rounds > 3):
        rounds += written.is_set()
        list(compactor.compact(everything=True))
        if stored(settings):
            firsts, ends = archive.extent(settings)
            reader = ArchiveReader(settings, firsts)
            left = sum(ends.values())
            while left > 0:
                left -= reader.poll().height
    writer.join()
    assert len(stored(settings)) == 1
    assert read(settings).equals(records((0, 0, 2 * count - 1), (1, 0, count - 1)))


def test_two_files_that_differ_in_a_record_stay(settings: Params) -> None:
    store(settings, records((0, 0, 9)))
    store(settings, records((0, 5, 14)).with_columns(value=pl.lit(b"other")))
    with pytest.raises(IntegrityError, match="cosas distintas"):
        compaction.compact(settings)
    assert len(stored(settings)) == 2


def test_a_hole_is_left_for_people(settings: Params) -> None:
    a_day(settings, 10)
    Path(stored(settings)[5].path).unlink()
    with pytest.raises(IntegrityError, match="del 50 al"):
        compaction.compact(settings)
    assert len(stored(settings)) == 9
