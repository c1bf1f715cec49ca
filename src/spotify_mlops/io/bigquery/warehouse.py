"""The BigQuery dataset: made as ``tables`` declares it, and loaded in bulk."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from google.api_core.exceptions import NotFound
from google.cloud import bigquery

from ...config.errors import UserError
from ...config.params import Params
from ...config.progress import Progress
from ..storage import objects
from . import tables
from .clients import client as bigquery_client
from .frames import arrow_schema, conform
from .tables import Table

_STANDARD = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
"""What the API answers for a type, by the name that the project uses."""
_LOAD_ROWS = 256 * 1024


def ensure_dataset(params: Params, rebuild: Progress | None = None, *, fills: bool = False) -> None:
    """Make what is missing of the dataset, its tables and its views; what is there stays.

    Nullable columns that are new at a table's end are added to it (not to the features', which
    follow the lags), and a view whose query is another takes the new one in place: a reader finds
    it at any time. The view of labels has the horizon and the levels of whoever fills the
    dataset, and other params leave it alone: they read theirs by ``tables.labels``. Nothing is
    changed when something is refused.

    Args:
        params: which dataset, and the lags that the columns of its features follow.
        rebuild: given by what then fills the table of features again from the log: with other
            columns it is made anew, empty, and this takes a line that says so. Without it such
            a table is refused.
        fills: whether the caller writes the rows of windows; so does who may rebuild.

    Raises:
        UserError: a table has other columns than declared.
    """
    client = bigquery_client(params)
    _ensure_dataset(client, params)
    existing = {
        item.table_id: item.table_type for item in client.list_tables(params.bigquery.dataset)
    }
    declared = tables.all_tables(params.windows)
    present = {
        table.rows: client.get_table(_reference(params, table.rows))
        for table in declared
        if table.rows in existing
    }
    outdated = {table.rows for table in declared if _is_other(params, table, present, rebuild)}
    for table in declared:
        if table.rows in outdated:
            assert rebuild is not None
            rebuild(f"Las columnas de {table.rows} cambiaron: se crea de nuevo, vacía")
            client.delete_table(present.pop(table.rows))
        _ensure_rows(client, params, table, present.get(table.rows))
    retired = [name for name in tables.RETIRED if existing.get(name) == "TABLE"]
    for name in retired:
        client.delete_table(_reference(params, name))
        del existing[name]
    follow = fills or rebuild is not None or retired
    for view in (*declared, *tables.views(params)):
        if follow or view.sql is None or view.name not in existing:
            _ensure_view(client, params, view, existing)


def load(params: Params, table: Table, files: Sequence[str | Path], *, replace: bool) -> int:
    """Load Parquet files into a table of rows by one load job: all of them or none.

    Args:
        params: where the dataset is.
        table: whose ``rows`` they are.
        files: with the table's columns in any order; nullable ones may be missing. Objects of
            a bucket (10,000 at most), which BigQuery reads itself, have them all as they are.
        replace: whether the rows that were there go away (no files then empties the table).

    Returns:
        The number of rows loaded.

    Raises:
        ValueError: a file has an unknown column, or lacks a required one.
        google.api_core.exceptions.GoogleAPICallError: BigQuery refuses the load.
    """
    if not files and not replace:
        return 0
    client = bigquery_client(params)
    config = bigquery.LoadJobConfig(
        schema=list(table.schema),
        source_format=bigquery.SourceFormat.PARQUET,
        write_disposition="WRITE_TRUNCATE" if replace else "WRITE_APPEND",
    )
    target = f"{params.cloud.project}.{params.bigquery.dataset}.{table.rows}"
    if files and objects.has_generations(str(files[0])):
        job = client.load_table_from_uri([str(file) for file in files], target, job_config=config)
        job.result()
        return int(job.output_rows)
    with tempfile.TemporaryFile() as merged:
        count = _merge(table, files, merged)
        merged.seek(0)
        client.load_table_from_file(merged, target, job_config=config).result()
    return count


def _ensure_dataset(client: bigquery.Client, params: Params) -> None:
    dataset = bigquery.Dataset(f"{params.cloud.project}.{params.bigquery.dataset}")
    dataset.location = params.cloud.location
    try:  # who may use it may not have the right to make any in the project
        client.get_dataset(dataset.reference)
    except NotFound:
        client.create_dataset(dataset, exists_ok=True)


def _reference(params: Params, name: str) -> str:
    return f"{params.cloud.project}.{params.bigquery.dataset}.{name}"


def _is_other(
    params: Params,
    table: Table,
    present: Mapping[str, bigquery.Table],
    rebuild: Progress | None,
) -> bool:
    """Tell whether a table has to be made anew.

    Raises:
        UserError: it would, and may not be.
    """
    if table.rows not in present:
        return False
    columns, declared = _columns(present[table.rows].schema), _columns(table.schema)
    if columns == declared:
        return False
    name = f"{params.bigquery.dataset}.{table.rows}"
    if table.name != tables.features(params.windows).name:
        added = table.schema[len(columns) :]
        if columns == declared[: len(columns)] and all(field.is_nullable for field in added):
            return False
        raise UserError(
            f"La tabla {name} tiene otras columnas que las declaradas: usa otro dataset "
            "(parámetro «dataset») o bórrala."
        )
    if rebuild is None:
        raise UserError(
            f"La tabla {name} se hizo con otros «lags», «model_countries» o «target» que "
            f"{params.windows.lags}, {', '.join(params.windows.model_countries)} y "
            f"{params.windows.target}: usa los de entonces u otro dataset (parámetro «dataset»), "
            "o rehaz las tablas con «make run»."
        )
    return True


def _ensure_rows(
    client: bigquery.Client, params: Params, table: Table, present: bigquery.Table | None
) -> None:
    if present is not None:
        if added := table.schema[len(present.schema) :]:
            _add_columns(client, present, table, added)
        return
    declared = bigquery.Table(_reference(params, table.rows), schema=list(table.schema))
    if table.day:
        declared.time_partitioning = bigquery.TimePartitioning(field=table.day)
    if table.clustering:
        declared.clustering_fields = table.clustering
    client.create_table(declared)


def _add_columns(
    client: bigquery.Client,
    present: bigquery.Table,
    table: Table,
    added: Sequence[bigquery.SchemaField],
) -> None:
    """Add nullable columns at the end; the rows that are there have null in them."""
    for field in added:
        client.query_and_wait(
            f"ALTER TABLE `{present.reference}` "
            f"ADD COLUMN IF NOT EXISTS `{field.name}` {field.field_type}"
        )
    present = client.get_table(present.reference)
    # BigQuery has done this already; the emulator keeps rows and schema apart.
    present.schema = list(table.schema)
    client.update_table(present, ["schema"])


def _ensure_view(
    client: bigquery.Client, params: Params, table: Table, existing: Mapping[str, str]
) -> None:
    reference, sql = _reference(params, table.name), table.view_sql(params.bigquery.dataset)
    view = client.get_table(reference) if table.name in existing else bigquery.Table(reference)
    if view.view_query == sql:
        return
    view.view_query = sql
    if table.name in existing:
        client.update_table(view, ["view_query"])
    else:
        client.create_table(view)


def _columns(schema: Sequence[bigquery.SchemaField]) -> list[tuple[str, str, bool]]:
    return [
        (field.name, _STANDARD.get(field.field_type, field.field_type), field.mode == "REQUIRED")
        for field in schema
    ]


def _merge(table: Table, files: Sequence[str | Path], target: Any) -> int:
    """Write the files' rows to one Parquet file with the table's schema; return their number."""
    schema = arrow_schema(table)
    count = 0
    with pq.ParquetWriter(target, schema, compression="zstd", compression_level=1) as writer:
        for file in files:
            with pq.ParquetFile(file) as source:
                for batch in source.iter_batches(_LOAD_ROWS):
                    rows = conform(pa.Table.from_batches([batch]), schema)
                    writer.write_table(rows)
                    count += rows.num_rows
    return count
