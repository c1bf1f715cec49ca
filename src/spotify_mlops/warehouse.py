"""The BigQuery dataset: made as ``tables`` declares it, loaded in bulk, appended to live."""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from google.cloud import bigquery

from . import clients, tables
from .errors import ServiceError, UserError
from .params import Params
from .tables import Table

if TYPE_CHECKING:
    from google.cloud.bigquery_storage_v1.writer import AppendRowsFuture, AppendRowsStream

_LOG = logging.getLogger(__name__)
_ARROW = {
    "STRING": pa.string(),
    "BYTES": pa.binary(),
    "INT64": pa.int64(),
    "FLOAT64": pa.float64(),
    "BOOL": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us", "UTC"),
}
_STANDARD = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
"""What the API answers for a type, by the name that the project uses."""
_REQUEST_BYTES = 8 * 1024 * 1024
"""BigQuery takes at most 10 MB in one append, its envelope included."""
_LOAD_ROWS = 256 * 1024


def arrow_schema(table: Table) -> pa.Schema:
    """Return the Arrow form of a table's columns."""
    return pa.schema(
        pa.field(field.name, _ARROW[field.field_type], nullable=field.mode != "REQUIRED")
        for field in table.schema
    )


def ensure_dataset(params: Params, progress: Callable[[str], None] = _LOG.info) -> None:
    """Make the dataset, its tables and its views as declared; what is right stays as it is.

    The table of features follows the lag list: with other columns it is made anew, empty,
    because a run rebuilds it from the log. It says so to ``progress``.

    Raises:
        UserError: another table has other columns than declared.
    """
    client = clients.bigquery_client(params)
    dataset = bigquery.Dataset(f"{params.project}.{params.dataset}")
    dataset.location = params.location
    client.create_dataset(dataset, exists_ok=True)
    existing = {item.table_id for item in client.list_tables(params.dataset)}
    for table in tables.all_tables(params):
        _ensure_rows(client, params, table, existing, progress)
        _ensure_view(client, params, table, existing)


def load(params: Params, table: Table, files: Sequence[str | Path], *, replace: bool) -> int:
    """Load Parquet files into a table of rows by one load job: all of them or none.

    Args:
        params: where the dataset is.
        table: whose ``rows`` they are.
        files: with the table's columns in any order; nullable ones may be missing.
        replace: whether the rows that were there go away (no files then empties the table).

    Returns:
        The number of rows loaded.

    Raises:
        ValueError: a file has an unknown column, or lacks a required one.
        google.api_core.exceptions.GoogleAPICallError: BigQuery refuses the load.
    """
    if not files and not replace:
        return 0
    client = clients.bigquery_client(params)
    config = bigquery.LoadJobConfig(
        schema=list(table.schema),
        source_format=bigquery.SourceFormat.PARQUET,
        write_disposition="WRITE_TRUNCATE" if replace else "WRITE_APPEND",
    )
    with tempfile.TemporaryFile() as merged:
        count = _merge(table, files, merged)
        merged.seek(0)
        target = f"{params.project}.{params.dataset}.{table.rows}"
        client.load_table_from_file(merged, target, job_config=config).result()
    return count


def append(params: Params, table: Table, frame: pl.DataFrame) -> int:
    """Append a few rows at once by a stream of their own; ``Appender`` is for many times."""
    with Appender(params, table) as appender:
        return appender.append(frame)


class Appender:
    """One committed stream of the Storage Write API: rows are readable when ``append`` returns.

    Every request carries its offset in the stream, so that repeating one whose answer was lost
    does not write it twice. When the server no longer knows the stream (it restarted), a new
    one takes its place and the rows in doubt are written again: the views show them once.
    Safe to call from several threads; their appends wait for each other.
    """

    def __init__(self, params: Params, table: Table) -> None:
        self._params = params
        self._table = table
        self._schema = arrow_schema(table)
        self._lock = threading.Lock()
        self._name: str | None = None
        self._offset = 0
        self._stream: AppendRowsStream | None = None

    def append(self, frame: pl.DataFrame | pa.Table) -> int:
        """Append rows and wait until BigQuery has acknowledged them all.

        Args:
            frame: the table's columns in any order; nullable ones may be missing.

        Returns:
            The number of rows.

        Raises:
            ValueError: an unknown column, a missing or null required one, a value that does
                not fit its type.
            ServiceError: not acknowledged within ``sink_deadline``, or refused for good.
        """
        rows = _conform(frame if isinstance(frame, pa.Table) else frame.to_arrow(), self._schema)
        _refuse_nulls(rows)
        pending = list(_requests(rows))
        deadline = time.monotonic() + self._params.sink_deadline.total_seconds()
        with self._lock:
            self._append(pending, deadline)
        return int(rows.num_rows)

    def close(self) -> None:
        """End the connection; what was appended stays."""
        with self._lock:
            self._disconnect()

    def __enter__(self) -> Appender:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _append(self, pending: list[pa.RecordBatch], deadline: float) -> None:
        from google.api_core.retry import exponential_sleep_generator

        delays = exponential_sleep_generator(initial=0.05, maximum=2.0)
        while pending:
            try:
                self._send(pending, deadline)
            except Exception as error:
                kind = _classify(error)
                self._disconnect()
                if kind == "lost":
                    self._name = None
                wait = next(delays)
                if kind == "fatal" or time.monotonic() + wait > deadline:
                    raise self._failure(error) from error
                _LOG.warning("append to %s repeated: %s", self._table.rows, error)
                time.sleep(wait)

    def _send(self, pending: list[pa.RecordBatch], deadline: float) -> None:
        """Send all, then take the answers in order, dropping what is acknowledged."""
        from google.api_core.exceptions import AlreadyExists

        stream = self._connect(deadline)
        sent: list[AppendRowsFuture] = []
        offset = self._offset
        for batch in pending:
            sent.append(stream.send(self._request(batch, offset)))
            offset += batch.num_rows
        for future in sent:
            with suppress(AlreadyExists):  # an earlier attempt arrived, its answer did not
                future.result(timeout=max(0.0, deadline - time.monotonic()))
            self._offset += pending.pop(0).num_rows

    def _connect(self, deadline: float) -> AppendRowsStream:
        from google.cloud.bigquery_storage_v1 import types
        from google.cloud.bigquery_storage_v1.writer import AppendRowsStream

        client = clients.bigquery_write_client(self._params)
        if self._name is None:
            parent = client.table_path(self._params.project, self._params.dataset, self._table.rows)
            created = client.create_write_stream(
                parent=parent,
                write_stream=types.WriteStream(type_=types.WriteStream.Type.COMMITTED),
                timeout=max(0.1, deadline - time.monotonic()),
                retry=None,
            )
            self._name, self._offset = created.name, 0
        if self._stream is None:
            template = types.AppendRowsRequest(
                write_stream=self._name,
                arrow_rows=types.AppendRowsRequest.ArrowData(
                    writer_schema=types.ArrowSchema(
                        serialized_schema=self._schema.serialize().to_pybytes()
                    )
                ),
            )
            self._stream = AppendRowsStream(client, template)
        return self._stream

    def _request(self, batch: pa.RecordBatch, offset: int) -> Any:
        from google.cloud.bigquery_storage_v1 import types

        return types.AppendRowsRequest(
            write_stream=self._name,
            offset=offset,
            arrow_rows=types.AppendRowsRequest.ArrowData(
                rows=types.ArrowRecordBatch(serialized_record_batch=batch.serialize().to_pybytes())
            ),
        )

    def _disconnect(self) -> None:
        from google.cloud.bigquery_storage_v1.exceptions import StreamClosedError

        stream, self._stream = self._stream, None
        if stream is not None:
            with suppress(StreamClosedError):  # never opened, or closed by the server
                stream.close()

    def _failure(self, error: Exception) -> ServiceError:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        return ServiceError(
            f"BigQuery no aceptó las filas de {self._params.dataset}.{self._table.rows}: {reason} "
            "Comprueba «spotify-mlops status»; el trabajo se reanuda desde el registro."
        )


def _classify(error: Exception) -> str:
    """Tell what to do with a failed append: ``retry``, ``lost`` (a new stream) or ``fatal``."""
    from concurrent import futures

    from google.api_core import exceptions
    from google.cloud.bigquery_storage_v1.exceptions import StreamClosedError

    lost = (exceptions.NotFound, exceptions.OutOfRange, exceptions.FailedPrecondition)
    if isinstance(error, lost):
        return "lost"
    transient = (
        exceptions.Aborted,
        exceptions.Cancelled,
        exceptions.DeadlineExceeded,
        exceptions.ResourceExhausted,
        exceptions.RetryError,
        exceptions.ServerError,
        StreamClosedError,
        futures.TimeoutError,
        TimeoutError,
    )
    return "retry" if isinstance(error, transient) else "fatal"


def _ensure_rows(
    client: bigquery.Client,
    params: Params,
    table: Table,
    existing: set[str],
    progress: Callable[[str], None],
) -> None:
    reference = f"{params.project}.{params.dataset}.{table.rows}"
    if table.rows in existing:
        if _columns(client.get_table(reference).schema) == _columns(table.schema):
            return
        if table.name != tables.features(params).name:
            raise UserError(
                f"La tabla {params.dataset}.{table.rows} tiene otras columnas que las declaradas: "
                "usa otro dataset (parámetro «dataset») o bórrala."
            )
        progress(f"Las columnas de {table.rows} cambiaron (lags): se crea de nuevo, vacía")
        client.delete_table(reference)
    declared = bigquery.Table(reference, schema=list(table.schema))
    if table.day:
        declared.time_partitioning = bigquery.TimePartitioning(field=table.day)
    if any(field.name == "country" for field in table.schema):
        declared.clustering_fields = ["country"]
    client.create_table(declared)


def _ensure_view(client: bigquery.Client, params: Params, table: Table, existing: set[str]) -> None:
    reference = f"{params.project}.{params.dataset}.{table.name}"
    sql = table.view_sql(params.dataset)
    if table.name in existing:
        if client.get_table(reference).view_query == sql:
            return
        client.delete_table(reference)
    view = bigquery.Table(reference)
    view.view_query = sql
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
                    rows = _conform(pa.Table.from_batches([batch]), schema)
                    _refuse_nulls(rows)
                    writer.write_table(rows)
                    count += rows.num_rows
    return count


def _conform(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the rows with the schema's columns, order and types."""
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
    return pa.table(columns, schema=schema)


def _refuse_nulls(rows: pa.Table) -> None:
    empty = [f.name for f in rows.schema if not f.nullable and rows.column(f.name).null_count]
    if empty:
        raise ValueError(f"null values in required columns {empty}")


def _requests(rows: pa.Table) -> Iterator[pa.RecordBatch]:
    """Cut rows into batches that each fit in one request."""
    if rows.num_rows == 0:
        return
    parts = -(-rows.nbytes // _REQUEST_BYTES)
    size = -(-rows.num_rows // parts)
    for start in range(0, rows.num_rows, size):
        part = rows.slice(start, size).combine_chunks()
        if part.nbytes > _REQUEST_BYTES and part.num_rows > 1:  # unequal rows
            half = part.num_rows // 2
            yield from _requests(part.slice(0, half))
            yield from _requests(part.slice(half))
        else:
            yield from part.to_batches()
