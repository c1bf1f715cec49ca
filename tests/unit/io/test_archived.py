"""The archive's files: overlaps are read once, in any interleaving; a hole is an error."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from spotify_mlops.config import params
from spotify_mlops.config.errors import IntegrityError
from spotify_mlops.config.params import Params
from spotify_mlops.io import files
from spotify_mlops.io.archive import archived
from spotify_mlops.pipeline.archive_reader import ArchiveReader
from spotify_mlops.pipeline.position import Position
from spotify_mlops.pipeline.sinks import archive, positions

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Params:
    return params.load("local", archive=str(tmp_path))


def records(*spans: tuple[int, int, int], start: datetime = NOON) -> pl.DataFrame:
    """Return records of (partition, first, last) spans; a record was appended a second each."""
    rows = [
        (p, o, start + timedelta(seconds=o)) for p, low, high in spans for o in range(low, high + 1)
    ]
    frame = pl.DataFrame(
        rows,
        {"partition": pl.Int32, "offset": pl.Int64, "append_time": pl.Datetime("us", "UTC")},
        orient="row",
    )
    return frame.with_columns(
        value=pl.concat_str("partition", pl.lit(":"), "offset").cast(pl.Binary)
    )


def store(settings: Params, rows: pl.DataFrame) -> Path:
    for day, part in archive.by_append_day(rows):
        name = f"{archived.raw_folder(settings)}/append_day={day}/{archived.file_name(part)}"
        files.write_parquet(name, part.with_columns(topic=pl.lit(settings.kafka.topic)))
    return Path(name)


def read(settings: Params) -> pl.DataFrame:
    firsts, ends = archive.extent(settings)
    reader = ArchiveReader(settings, firsts)
    left = sum(ends.values()) - sum(firsts.values())
    parts = []
    while left > 0:
        parts.append(reader.poll())
        left -= parts[-1].height
    return pl.concat(parts).sort("partition", "offset")


def test_files_that_overlap_are_read_once(settings: Params) -> None:
    for spans in ([(0, 0, 9)], [(0, 5, 20), (1, 0, 3)], [(0, 10, 14)], [(1, 2, 9)]):
        store(settings, records(*spans))
    assert read(settings).equals(records((0, 0, 20), (1, 0, 9)))


def test_a_file_waits_for_what_precedes_it_in_every_partition(settings: Params) -> None:
    store(settings, records((0, 50, 99)))
    # Sorts first by its append time, and goes on where the one above ends.
    store(settings, records((0, 100, 120), (1, 0, 9)))
    store(settings, records((0, 0, 49), start=NOON + timedelta(hours=1)))
    assert read(settings).equals(
        pl.concat(
            [
                records((0, 0, 49), start=NOON + timedelta(hours=1)),
                records((0, 50, 120), (1, 0, 9)),
            ]
        )
    )


def test_a_clock_set_back_over_midnight_makes_no_hole(settings: Params) -> None:
    late = datetime(2026, 1, 5, 23, 59, 50, tzinfo=UTC)
    back = records((0, 15, 19), start=late - timedelta(seconds=60))
    rows = pl.concat([records((0, 0, 14), start=late), back, records((0, 20, 30), start=late)])
    assert [part.height for _, part in archive.by_append_day(rows)] == [10, 5, 5, 11]
    store(settings, rows)
    assert read(settings).equals(rows)


def test_a_hole_is_an_error_and_says_where(settings: Params) -> None:
    store(settings, records((0, 0, 9), (1, 0, 9)))
    gone = store(settings, records((0, 10, 19)))
    store(settings, records((0, 20, 29)))
    gone.unlink()
    for look in (archive.coverage, archive.extent):
        with pytest.raises(IntegrityError, match="partición 0, del 10 al 19"):
            look(settings)
    reader = ArchiveReader(settings, {0: 0, 1: 0})
    assert reader.poll().height == 20
    with pytest.raises(IntegrityError, match="partición 0, del 10 al 19"):
        reader.poll()


def test_a_lost_last_file_is_an_error_when_the_job_had_acknowledged_it(settings: Params) -> None:
    store(settings, records((0, 0, 9)))
    positions.save(settings, Position({0: 0, 1: 0}, {0: None, 1: None}, {0: 10, 1: 4}))
    with pytest.raises(IntegrityError, match="partición 1, del 0 al 3"):
        archive.extent(settings)
    assert archive.coverage(settings) == {0: 10}  # what a run that fills it goes on from


def test_a_file_that_lacks_what_its_name_says(settings: Params) -> None:
    path = store(settings, records((0, 0, 9)))
    files.write_parquet(str(path), records((0, 0, 4), (0, 6, 9)))
    with pytest.raises(IntegrityError, match="partición 0"):
        read(settings)
