"""Whether two datasets hold the same rows: digests of their content, and what differs.

Content is compared bit for bit, whatever the order of rows and columns. Columns of the wall
clock say when a row was written and are left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from ..config.params import Params
from ..config.sections import Windows
from ..domain.schemas import WRITTEN_SCHEMA
from ..io import bigquery, retry
from ..io.bigquery import tables
from ..io.bigquery.tables import Table
from .bounded import BoundedSummary

WALL_CLOCK = tuple(WRITTEN_SCHEMA)


@dataclass(frozen=True)
class Extent:
    """The part of a log that a comparison looks at, so that a job that goes on does not disturb.

    Attributes:
        ends: per partition, the record after the last one.
        closed_until: the watermark there; windows that end later are left out.
    """

    ends: Mapping[int, int]
    closed_until: datetime | None

    @classmethod
    def of(cls, summary: BoundedSummary) -> Extent:
        """Return how far a bounded run went."""
        return cls(summary.ends, summary.watermark)


@dataclass(frozen=True)
class Digest:
    """The number of rows of some content, and its SHA-256."""

    rows: int
    sha256: str


def digest(frame: pl.DataFrame) -> Digest:
    """Return the digest of a frame's content.

    Args:
        frame: columns of numbers, times, truth values, texts or bytes; nulls count as such. The
            width of an integer does not count.

    Raises:
        TypeError: a column holds something else.
    """
    content = frame.drop(WALL_CLOCK, strict=False)
    content = content.select(sorted(content.columns))
    content = content.sort(content.columns) if content.width else content
    hashed = hashlib.sha256()
    for column in content:
        for part in _parts(column):
            hashed.update(len(part).to_bytes(8, "little"))
            hashed.update(part)
    return Digest(frame.height, hashed.hexdigest())


def _parts(column: pl.Series) -> Iterator[bytes]:
    kind = column.dtype
    values = column.drop_nulls()
    yield column.name.encode()
    yield column.is_null().to_numpy().tobytes()
    if kind in (pl.String, pl.Binary):
        texts = values.cast(pl.Binary)
        yield texts.bin.size().cast(pl.UInt64).to_numpy().tobytes()
        yield b"".join(texts.to_list())
    elif kind.is_float():
        yield values.cast(pl.Float64).to_numpy().tobytes()
    elif kind.is_integer() or kind.is_temporal() or kind == pl.Boolean:
        yield values.to_physical().cast(pl.Int64).to_numpy().tobytes()
    else:
        raise TypeError(f"no digest of {kind} (column {column.name})")


def compared_tables(params: Params) -> tuple[Table, ...]:
    """Return the tables that the live job and a replay fill alike, as readers see them."""
    return (
        tables.EVENTS,
        tables.LATE_EVENTS,
        tables.features(params.windows),
        tables.labels(params),
        tables.PREDICTIONS,
        tables.DEAD_LETTERS,
        tables.COUNTERS,
        tables.CROSSINGS,
    )


def content(params: Params, table: Table, extent: Extent | None = None) -> pl.DataFrame:
    """Return a table as readers see it, in the order of its key, without the wall clock.

    Args:
        params: whose dataset.
        table: which table.
        extent: leaves out what comes after it in the log.
    """
    rows = bigquery.query(params, f"SELECT * FROM `{{dataset}}.{table.name}`")
    if extent is not None:
        rows = rows.filter(within(rows, extent, params.windows))
    return rows.drop(WALL_CLOCK, strict=False).sort(table.key)


def within(rows: pl.DataFrame, extent: Extent, windows: Windows) -> pl.Expr:
    """Select by position in the log the rows that have one, and by window the others."""
    conditions = []
    if "log_offset" in rows.columns:
        ends = pl.col("log_partition").replace_strict(
            list(extent.ends), list(extent.ends.values()), default=0, return_dtype=pl.Int64
        )
        conditions.append(pl.col("log_offset") < ends)
    if "window_start" in rows.columns:
        until = pl.lit(extent.closed_until, pl.Datetime("us", "UTC"))
        last = "label_window" if "label_window" in rows.columns else "window_start"
        conditions.append((pl.col(last) + windows.window <= until).fill_null(False))
    return pl.coalesce(conditions)


def digests(params: Params, extent: Extent | None = None) -> dict[str, Digest]:
    """Return the digest of each of ``compared_tables`` in the params' dataset."""
    return {table.name: digest(content(params, table, extent)) for table in compared_tables(params)}


@dataclass(frozen=True)
class TableComparison:
    """One table in two datasets."""

    name: str
    live: Digest
    other: Digest

    @property
    def equal(self) -> bool:
        """Whether both hold the same rows."""
        return self.live == self.other

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self) | {"equal": self.equal}


def compare(
    live: Params, other: Params, extent: Extent | None = None, wait: float = 0.0
) -> list[TableComparison]:
    """Compare the tables of two datasets of one log by their digests.

    Args:
        live: whose dataset a running job may still be filling.
        other: the dataset that is whole.
        extent: how far to look.
        wait: seconds that the job is given to write what it has read.
    """
    whole = digests(other, extent)

    def check() -> list[TableComparison]:
        found = digests(live, extent)
        return [TableComparison(name, found[name], whole[name]) for name in whole]

    return retry.until(check, lambda tables: all(table.equal for table in tables), wait)


@dataclass(frozen=True)
class Differences:
    """How rows that were found differ from those expected with the same key.

    Attributes:
        compared: rows found whose key was expected.
        missing: rows expected whose key was not found.
        extra: rows found whose key was not expected.
        expected: of the compared rows that differ, what was expected, in the order of ``found``.
        found: what was found.
        columns: how many rows differ in each column that differs somewhere.
    """

    compared: int
    missing: pl.DataFrame
    extra: pl.DataFrame
    expected: pl.DataFrame
    found: pl.DataFrame
    columns: dict[str, int]

    @property
    def none(self) -> bool:
        """Whether there is no difference."""
        return not (self.missing.height or self.extra.height or self.found.height)


def differences(
    expected: pl.DataFrame, found: pl.DataFrame, key: Sequence[str], columns: Sequence[str]
) -> Differences:
    """Compare rows by key, bit for bit.

    Args:
        expected: each key once.
        found: has the same columns; a key may be there several times.
        key: columns without nulls.
        columns: what to compare.
    """
    wanted = [*key, *columns]
    missing = expected.join(found, on=key, how="anti").select(wanted)
    extra = found.join(expected, on=key, how="anti").select(wanted)
    right = found.join(expected, on=key, how="semi").select(wanted).sort(key)
    left = right.select(key).join(expected, on=key, how="left", maintain_order="left")
    masks = pl.DataFrame(
        {name: _bits(left[name]).ne_missing(_bits(right[name])) for name in columns}
    )
    differs = masks.select(pl.any_horizontal(pl.all())).to_series()
    counts = {name: int(masks[name].sum()) for name in columns}
    return Differences(
        right.height,
        missing,
        extra,
        left.select(wanted).filter(differs),
        right.filter(differs),
        {name: count for name, count in counts.items() if count},
    )


def _bits(values: pl.Series) -> pl.Series:
    """Return floats as the integers that have the same bits, so that -0.0 is not 0.0."""
    if not values.dtype.is_float():
        return values
    raw = values.cast(pl.Float64).fill_null(0.0).to_numpy().view(np.int64)
    return pl.select(
        pl.when(values.is_not_null()).then(pl.Series(values.name, raw)).alias(values.name)
    ).to_series()
