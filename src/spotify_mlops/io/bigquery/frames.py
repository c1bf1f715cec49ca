"""Rows in a table's own columns, order and types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import pyarrow as pa

from .tables import Table

_ARROW = {
    "STRING": pa.string(),
    "BYTES": pa.binary(),
    "INT64": pa.int64(),
    "FLOAT64": pa.float64(),
    "BOOL": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us", "UTC"),
}


def arrow_schema(table: Table) -> pa.Schema:
    """Return the Arrow form of a table's columns."""
    return pa.schema(
        pa.field(field.name, _ARROW[field.field_type], nullable=field.mode != "REQUIRED")
        for field in table.schema
    )


def frame(table: Table, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return rows as a frame with a table's columns and types; what a row lacks is null."""
    made = pl.from_arrow(pa.Table.from_pylist(list(rows), schema=arrow_schema(table)))
    assert isinstance(made, pl.DataFrame)
    return made


def conform(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the rows with the schema's columns, order and types, or raise ValueError."""
    unknown = set(rows.column_names) - set(schema.names)
    missing = [f.name for f in schema if not f.nullable and f.name not in rows.column_names]
    if unknown or missing:
        raise ValueError(f"unknown columns {sorted(unknown)}, missing columns {missing}")
    columns = [
        rows.column(field.name).cast(field.type)
        if field.name in rows.column_names
        else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    empty = [
        field.name
        for field, column in zip(schema, columns, strict=True)
        if not field.nullable and column.null_count
    ]
    if empty:
        raise ValueError(f"null values in required columns {empty}")
    return pa.table(columns, schema=schema)
