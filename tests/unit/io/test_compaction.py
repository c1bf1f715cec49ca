"""Compaction of the archive: the same records in fewer files, whatever interrupts it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from apache_beam.internal.gcp import auth
from apache_beam.io.filesystems import FileSystems
from click.testing import CliRunner
from gcp_storage_emulator.server import create_server
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from spotify_mlops.cli.main import app
from spotify_mlops.config import params
from spotify_mlops.config.errors import IntegrityError, ServiceError
from spotify_mlops.config.params import Params
from spotify_mlops.io import files
from spotify_mlops.io.archive import archived, compaction
from spotify_mlops.io.http import ports
from spotify_mlops.operations import housekeeping
from spotify_mlops.pipeline.readers import ArchiveReader
from spotify_mlops.pipeline.sinks import archive

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "state"))
    return params.load("local", archive=str(tmp_path / "archive"), batch_records=7)


def records(*spans: tuple[int, int, int], start: datetime = NOON) -> pl.DataFrame:
    """Return records of (partition, first, last) spans; a record was appended a second each."""
    rows = [
        (p, o, start + timedelta(seconds=o)) for p, low, high in spans for o in range(low, high + 1)
    ]
    return pl.DataFrame(
        rows,
        {"partition": pl.Int32, "offset": pl.Int64, "append_time": pl.Datetime("us", "UTC")},
        orient="row",
    ).with_columns(value=pl.concat_str("partition", pl.lit(":"), "offset").cast(pl.Binary))


def store(settings: Params, rows: pl.DataFrame) -> None:
    for day, part in archive.by_append_day(rows):
        name = f"{archived.raw_folder(settings)}/append_day={day}/{archived.file_name(part)}"
        files.write_parquet(name, part.with_columns(topic=pl.lit(settings.kafka.topic)))


def a_day(settings: Params, count: int = 40, start: datetime = NOON) -> pl.DataFrame:
    """Store records of two partitions in ``count`` files that overlap now and then."""
    for number in range(count):
        first = 10 * number - (3 if number % 5 == 4 else 0)
        store(settings, records((0, first, 10 * number + 9), (1, first, 10 * number + 9),
                                start=start))  # fmt: skip
    return records((0, 0, 10 * count - 1), (1, 0, 10 * count - 1), start=start)


def read(settings: Params, reader: ArchiveReader | None = None) -> pl.DataFrame:
    firsts, ends = archive.extent(settings)
    reader = reader or ArchiveReader(settings, firsts)
    left = sum(ends.values()) - sum(firsts.values())
    parts = []
    while left > 0:
        parts.append(reader.poll())
        left -= parts[-1].height
    assert left == 0
    for _, part in pl.concat(parts).group_by("partition"):
        assert part["offset"].is_sorted()
    return pl.concat(parts).sort("partition", "offset")


def stored(settings: Params) -> list[archived.ArchivedFile]:
    return archived.archived_files(settings)


def test_the_same_records_in_one_sorted_file(settings: Params) -> None:
    expected = a_day(settings)
    before = sum(file.size for file in stored(settings))
    done = compaction.compact(settings)
    assert (done.files, done.merged, done.records) == (40, 1, expected.height)
    (file,) = stored(settings)
    assert file.size == done.merged_bytes < done.bytes == before
    assert read(settings).equals(expected)
    rows = pl.read_parquet(file.path)
    assert rows.select("partition", "offset").equals(expected.select("partition", "offset"))
    assert rows["topic"].unique().to_list() == [settings.kafka.topic]
    assert compaction.compact(settings) == compaction.Compacted()


def test_days_stay_apart_and_full_files_are_left(
    settings: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    midnight = datetime(2026, 1, 5, 23, 58, 20, tzinfo=UTC)
    expected = a_day(settings, 40, midnight)
    unpacked = sum(compaction._Look.at(file.path).unpacked for file in stored(settings))
    monkeypatch.setattr(compaction, "MERGED_BYTES", unpacked // 4)
    compaction.compact(settings)
    found = stored(settings)
    assert 4 <= len(found) <= 8
    assert {Path(file.folder).name for file in found} == {
        "append_day=2026-01-05",
        "append_day=2026-01-06",
    }
    for file in found:
        days = pl.read_parquet(file.path)["append_time"].dt.date().unique()
        assert [f"append_day={day}" for day in days] == [Path(file.folder).name]
    assert read(settings).equals(expected)
    assert compaction.compact(settings).merged == 0


def test_a_merge_takes_so_many_files_and_the_next_one_those_that_it_made(
    settings: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "MERGED_FILES", 15)
    expected = a_day(settings)
    done = compaction.compact(settings)
    assert (done.files, done.merged, done.records) == (43, 4, 2 * expected.height)
    assert read(settings).equals(expected)
    assert len(stored(settings)) == 1


def test_files_of_the_day_that_goes_on_wait_for_others(
    settings: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each record is written again a few times at most, and the files stay few."""
    monkeypatch.setattr(compaction, "FRESH_FILES", 16)
    compactor = compaction.Compactor(settings)
    most, rewritten, count = 0, 0, 8 * compaction.FRESH_FILES
    for number in range(count):
        store(settings, records((0, number, number)))
        if number % 4 == 3:
            rewritten += sum(done.records for done in compactor.compact())
            most = max(most, len(stored(settings)))
    assert most < compaction.FRESH_FILES + 4
    assert rewritten == sum(16 * n for n in (1, 2, 1, 4, 1, 2, 1, 8))
    assert read(settings).equals(records((0, 0, count - 1)))
    store(settings, records((0, count, count), start=NOON + timedelta(days=1)))
    list(compactor.compact())
    assert [file.records for file in stored(settings)] == [count, 1]


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


@st.composite
def writes(draw: st.DrawFn) -> list[tuple[tuple[int, int, int], ...]]:
    """Draw what a job that is killed now and then writes: spans that go on, or go back a little."""
    reached = {0: 0, 1: 0, 2: 0}
    done = []
    for _ in range(draw(st.integers(1, 12))):
        spans = []
        for partition in draw(st.sets(st.sampled_from(sorted(reached)), min_size=1)):
            first = max(0, reached[partition] - draw(st.sampled_from([0, 0, 0, 1, 5, 30])))
            last = first + draw(st.integers(0, 20))
            spans.append((partition, first, last))
            reached[partition] = max(reached[partition], last + 1)
        done.append(tuple(spans))
    return done


@given(writes(), st.integers(1, 3000), st.sampled_from([0, 86_390, 86_000]))
@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_archive_reads_the_same_before_and_after(
    tmp_path_factory: pytest.TempPathFactory,
    settings: Params,
    written: list[tuple[tuple[int, int, int], ...]],
    size: int,
    second: int,
) -> None:
    folder = tmp_path_factory.mktemp("archive")
    own = settings.replace(archive=str(folder))
    start = datetime(2026, 1, 5, tzinfo=UTC) + timedelta(seconds=second)
    for spans in written:
        store(own, records(*spans, start=start))
    before = read(own)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(compaction, "MERGED_BYTES", size)
        compaction.compact(own)
    assert read(own).equals(before)
    compaction.compact(own)
    assert read(own).equals(before)
    days = {Path(file.folder).name for file in stored(own)}
    if second == 0:
        assert len(stored(own)) == len(days) == 1


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


def test_values_are_the_same_bytes(settings: Params) -> None:
    values = [b"", b"\x00\xff", b"{}", "ñandú".encode(), os.urandom(1000), b"x" * 100_000]
    rows = records((0, 0, len(values) - 1)).with_columns(value=pl.Series(values, dtype=pl.Binary))
    for part in rows.iter_slices(1):
        store(settings, part)
    compaction.compact(settings)
    assert read(settings)["value"].to_list() == values


def test_a_merged_file_gives_its_partitions_side_by_side(
    settings: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_day(settings)
    monkeypatch.setattr(compaction, "GROUP_ROWS", 50)
    compaction.compact(settings)
    (file,) = stored(settings)
    assert pq.read_metadata(file.path).num_row_groups == 16
    reader = ArchiveReader(settings, {0: 0, 1: 0})
    reached = {0: 0, 1: 0}
    while min(reached.values()) < 399:
        batch = reader.poll()
        reached[batch["partition"][0]] = batch["offset"][-1]
        assert abs(reached[0] - reached[1]) <= 50


def test_the_command_tells_what_it_did(settings: Params) -> None:
    a_day(settings)
    arguments = ["archive", "compact", "--set", f"archive={settings.cloud.archive}"]
    told = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert (told["files"], told["merged"], told["records"]) == (40, 1, 800)
    assert "No hay nada que juntar." in CliRunner().invoke(app, arguments).stdout


def test_a_job_keeps_house_until_it_ends(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chore that fails is tried again, and the others are done."""
    tried: list[str] = []
    twice = threading.Event()

    def forget(asked: Params, now: datetime) -> None:
        tried.append("forget")
        if tried.count("forget") == 2:
            twice.set()
        raise ServiceError("BigQuery no responde")

    monkeypatch.setattr(housekeeping, "COMPACT_SECONDS", 0.01)
    monkeypatch.setattr(housekeeping, "FORGET_SECONDS", 0.0)
    monkeypatch.setattr(housekeeping, "forget", forget)
    monkeypatch.setattr(compaction, "FRESH_FILES", 40)
    a_day(settings)
    with housekeeping.kept(settings):
        assert twice.wait(60)
    assert len(stored(settings)) == 1
    assert "housekeeping" not in {thread.name for thread in threading.enumerate()}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    port = ports.free()
    emulator = create_server(ports.HOST, port, in_memory=True, default_bucket="archive")
    emulator.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://{ports.HOST}:{port}")
    monkeypatch.setattr(auth, "get_service_credentials", lambda _: None)  # it looks for 20 s
    yield "gs://archive/spotify"
    emulator.stop()


def test_in_a_bucket(settings: Params, bucket: str) -> None:
    settings = settings.replace(archive=bucket)
    expected = a_day(settings, 10)
    reader = ArchiveReader(settings, {0: 0, 1: 0})
    first = reader.poll()
    done = compaction.compact(settings)
    assert (done.files, done.merged) == (10, 1)
    (file,) = stored(settings)
    assert FileSystems.exists(file.path)
    assert read(settings).equals(expected)
    parts = [first]
    while sum(part.height for part in parts) < expected.height:
        parts.append(reader.poll())
    assert pl.concat(parts).sort("partition", "offset").equals(expected)
