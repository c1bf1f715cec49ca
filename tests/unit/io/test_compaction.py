"""Compaction of the archive: the same records in fewer files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from apache_beam.internal.gcp import auth
from apache_beam.io.filesystems import FileSystems
from gcp_storage_emulator.server import create_server
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from archives import NOON, a_day, read, records, store, stored
from spotify_mlops.config import params
from spotify_mlops.config.params import Params
from spotify_mlops.io.archive import compaction
from spotify_mlops.io.http import ports
from spotify_mlops.pipeline.archive_reader import ArchiveReader


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "state"))
    return params.load("local", archive=str(tmp_path / "archive"), batch_records=7)


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
