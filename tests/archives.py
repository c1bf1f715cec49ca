"""Small archives of a log, written and read as the job does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from spotify_mlops.config.params import Params
from spotify_mlops.io import files
from spotify_mlops.io.archive import archived
from spotify_mlops.pipeline.archive_reader import ArchiveReader
from spotify_mlops.pipeline.sinks import archive

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


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
