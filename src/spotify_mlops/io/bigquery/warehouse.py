"""The BigQuery dataset: made as ``tables`` declares it, loaded in bulk, appended to live."""

from __future__ import annotations

import logging
import queue
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import grpc
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from google.cloud import bigquery

from ...config.errors import ServiceError, UserError
from ...config.params import Params
from ...config.progress import Progress
from . import tables
from .clients import client as bigquery_client
from .clients import write_client
from .tables import Table

if TYPE_CHECKING:
    from google.cloud.bigquery_storage_v1 import BigQueryWriteClient

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


def frame(table: Table, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return rows as a frame with a table's columns and types; what a row lacks is null."""
    made = pl.from_arrow(pa.Table.from_pylist(list(rows), schema=arrow_schema(table)))
    assert isinstance(made, pl.DataFrame)
    return made


def ensure_dataset(params: Params, rebuild: Progress | None = None) -> None:
    """Make what is missing of the dataset, its tables and its views; what is there stays.

    Nullable columns that are new at a table's end are added to it (not to the features', which
    follow the lags), and a view whose query is another takes the new one in place: a reader finds
    it at any time. Nothing is changed when something is refused.

    Args:
        params: which dataset, and the lags that the columns of its features follow.
        rebuild: given by what then fills the table of features again from the log: with other
            columns it is made anew, empty, and this takes a line that says so. Without it such
            a table is refused.

    Raises:
        UserError: a table has other columns than declared.
    """
    client = bigquery_client(params)
    dataset = bigquery.Dataset(f"{params.project}.{params.dataset}")
    dataset.location = params.location
    client.create_dataset(dataset, exists_ok=True)
    existing = {item.table_id for item in client.list_tables(params.dataset)}
    declared = tables.all_tables(params)
    present = {
        table.rows: client.get_table(_reference(params, table.rows))
        for table in declared
        if table.rows in existing
    }
    outdated = {table.rows for table in declared if _is_other(params, table, present, rebuild)}
    for table in declared:
        if table.rows in outdated:
            assert rebuild is not None
            rebuild(f"Las columnas de {table.rows} cambiaron (lags): se crea de nuevo, vacía")
            client.delete_table(present.pop(table.rows))
        _ensure_rows(client, params, table, present.get(table.rows))
    for view in (*declared, *tables.VIEWS):
        _ensure_view(client, params, view, existing)


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
    client = bigquery_client(params)
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


class _Connection:
    """An open AppendRows call. The library's own manager answers half a second late: it polls."""

    def __init__(self, client: BigQueryWriteClient, stream: str) -> None:
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        # The transport's type says unary; it is the stub of a stream in both directions.
        open_stream: Any = client.transport.append_rows
        self._call: Any = open_stream(
            iter(self._requests.get, None),
            metadata=(("x-goog-request-params", f"write_stream={stream}"),),
        )

    def exchange(self, requests: list[Any], deadline: float) -> Iterator[None]:
        """Send requests and yield once for each that BigQuery acknowledges, in order.

        Raises:
            google.api_core.exceptions.GoogleAPICallError: what BigQuery, or the connection, says.
        """
        from google.api_core import exceptions

        watchdog = threading.Timer(max(0.0, deadline - time.monotonic()), self._call.cancel)
        watchdog.daemon = True
        watchdog.start()
        try:
            for request in requests:
                self._requests.put(request)
            for _ in requests:
                answer = next(self._call)
                if answer.error.code:
                    error = exceptions.from_grpc_status(answer.error.code, answer.error.message)
                    if not isinstance(error, exceptions.AlreadyExists):
                        raise error
                    # An earlier attempt arrived, only its answer did not.
                yield
        except StopIteration:
            raise exceptions.Aborted("the server closed the stream") from None
        except grpc.RpcError as error:
            raise exceptions.from_grpc_error(error) from error
        finally:
            watchdog.cancel()

    def close(self) -> None:
        self._requests.put(None)
        self._call.cancel()


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
        self._stream: str | None = None
        self._offset = 0
        self._connection: _Connection | None = None

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
        pending = list(_batches(rows))
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
        """Write the batches, repeating what fails for a while; takes from ``pending``."""
        from google.api_core.exceptions import GoogleAPICallError
        from google.api_core.retry import exponential_sleep_generator

        delays = exponential_sleep_generator(initial=0.1, maximum=2.0)
        failures = 0
        while pending:
            try:
                self._send(pending, deadline)
            except GoogleAPICallError as error:
                kind = _classify(error)
                self._disconnect()
                if kind == "lost":
                    self._stream = None
                wait = next(delays)
                if kind == "fatal" or time.monotonic() + wait > deadline:
                    raise self._failure(error) from error
                failures += 1
                if failures == 1:
                    _LOG.warning("append to %s is repeated: %s", self._table.rows, error)
                time.sleep(wait)

    def _send(self, pending: list[pa.RecordBatch], deadline: float) -> None:
        connection = self._connect(deadline)
        requests, offset = [], self._offset
        for batch in pending:
            requests.append(self._request(batch, offset))
            offset += batch.num_rows
        for _ in connection.exchange(requests, deadline):
            self._offset += pending.pop(0).num_rows

    def _connect(self, deadline: float) -> _Connection:
        from google.cloud.bigquery_storage_v1 import types

        client = write_client(self._params)
        if self._stream is None:
            created = client.create_write_stream(
                parent=client.table_path(
                    self._params.project, self._params.dataset, self._table.rows
                ),
                write_stream=types.WriteStream(type_=types.WriteStream.Type.COMMITTED),
                timeout=max(0.1, deadline - time.monotonic()),
                retry=None,
            )
            self._stream, self._offset = created.name, 0
        if self._connection is None:
            self._connection = _Connection(client, self._stream)
        return self._connection

    def _request(self, batch: pa.RecordBatch, offset: int) -> Any:
        from google.cloud.bigquery_storage_v1 import types

        return types.AppendRowsRequest(
            write_stream=self._stream,
            offset=offset,
            arrow_rows=types.AppendRowsRequest.ArrowData(
                # Only the first request of a connection needs it; it is small beside the rows.
                writer_schema=types.ArrowSchema(
                    serialized_schema=self._schema.serialize().to_pybytes()
                ),
                rows=types.ArrowRecordBatch(serialized_record_batch=batch.serialize().to_pybytes()),
            ),
        )

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _failure(self, error: Exception) -> ServiceError:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        return ServiceError(
            f"BigQuery no aceptó las filas de {self._params.dataset}.{self._table.rows}: {reason}. "
            "Comprueba «spotify-mlops status»; el trabajo se reanuda desde el registro."
        )


def _classify(error: Exception) -> Literal["retry", "lost", "fatal"]:
    """Tell what to do with a failed append: repeat it, repeat it on a new stream, or give up."""
    from google.api_core import exceptions

    if isinstance(
        error, (exceptions.NotFound, exceptions.OutOfRange, exceptions.FailedPrecondition)
    ):
        return "lost"
    transient = (
        exceptions.Aborted,
        exceptions.Cancelled,
        exceptions.ResourceExhausted,
        exceptions.ServerError,
    )
    return "retry" if isinstance(error, transient) else "fatal"


def _reference(params: Params, name: str) -> str:
    return f"{params.project}.{params.dataset}.{name}"


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
    name = f"{params.dataset}.{table.rows}"
    if table.name != tables.features(params).name:
        added = table.schema[len(columns) :]
        if columns == declared[: len(columns)] and not any(map(_is_required, added)):
            return False
        raise UserError(
            f"La tabla {name} tiene otras columnas que las declaradas: usa otro dataset "
            "(parámetro «dataset») o bórrala."
        )
    if rebuild is None:
        raise UserError(
            f"La tabla {name} se hizo con otros «lags» que {params.lags}: usa los de entonces u "
            "otro dataset (parámetro «dataset»), o rehaz las tablas con «make run»."
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
    if any(field.name == "country" for field in table.schema):
        declared.clustering_fields = ["country"]
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


def _is_required(field: bigquery.SchemaField) -> bool:
    return field.mode == "REQUIRED"


def _ensure_view(client: bigquery.Client, params: Params, table: Table, existing: set[str]) -> None:
    reference, sql = _reference(params, table.name), table.view_sql(params.dataset)
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
                    rows = _conform(pa.Table.from_batches([batch]), schema)
                    writer.write_table(rows)
                    count += rows.num_rows
    return count


def _conform(rows: pa.Table, schema: pa.Schema) -> pa.Table:
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


def _batches(rows: pa.Table) -> Iterator[pa.RecordBatch]:
    """Cut rows into batches that each fit in one request."""
    if rows.num_rows == 0:
        return
    parts = -(-rows.nbytes // _REQUEST_BYTES)
    size = -(-rows.num_rows // parts)
    for start in range(0, rows.num_rows, size):
        part = rows.slice(start, size).combine_chunks()
        if part.nbytes > _REQUEST_BYTES and part.num_rows > 1:  # unequal rows
            half = part.num_rows // 2
            yield from _batches(part.slice(0, half))
            yield from _batches(part.slice(half))
        else:
            yield from part.to_batches()
