"""The archive read back, in whatever order its files were written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from spotify_mlops.config import params
from spotify_mlops.config.errors import IntegrityError
from spotify_mlops.config.params import Params
from spotify_mlops.domain.events import LOG_COLUMNS
from spotify_mlops.io import files
from spotify_mlops.io.archive import archived
from spotify_mlops.pipeline.archive_reader import ArchiveReader

APPENDED = datetime(2026, 1, 1, tzinfo=UTC)


def write(settings: Params, records: list[tuple[int, int]]) -> None:
    """Write a file of (partition, offset); partition 1 was appended before partition 0."""
    rows = pl.DataFrame(
        [(p, o, APPENDED + timedelta(seconds=o - 100 * p), b"%d" % o) for p, o in records],
        schema=LOG_COLUMNS,
        orient="row",
    )
    folder = f"{archived.raw_folder(settings)}/append_day=2026-01-01"
    files.write_parquet(f"{folder}/{archived.file_name(rows)}", rows)


@pytest.fixture
def settings(tmp_path: Path) -> Params:
    return params.load("local", archive=str(tmp_path), batch_records=3)


def read(settings: Params, count: int) -> list[tuple[int, int]]:
    reader = ArchiveReader(settings, {0: 0, 1: 0})
    found: list[tuple[int, int]] = []
    while len(found) < count:
        found += reader.poll().select("partition", "offset").rows()
    return found


def test_a_partition_read_ahead_of_another_is_put_in_order(settings: Params) -> None:
    write(settings, [(0, offset) for offset in range(10)])
    write(settings, [(0, offset) for offset in range(8, 20)] + [(1, o) for o in range(5)])
    names = sorted(path.name for path in Path(settings.cloud.archive).rglob("*.parquet"))
    assert [name.split("_", 1)[1] for name in names] == ["0-8-19_1-0-4.parquet", "0-0-9.parquet"]
    found = read(settings, 25)
    for partition, end in ((0, 20), (1, 5)):
        assert [o for p, o in found if p == partition] == list(range(end))


def test_a_gap_is_refused(settings: Params) -> None:
    write(settings, [(0, offset) for offset in (0, 1, 2)])
    write(settings, [(0, offset) for offset in (4, 5)])
    with pytest.raises(IntegrityError, match="partición 0, del 3 al 3"):
        read(settings, 5)
