"""Rows appended live, by the Storage Write API."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import grpc
import polars as pl
import pyarrow as pa

from ...config.errors import ServiceError, one_line
from ...config.params import Params
from .. import retry
from .clients import write_client
from .frames import arrow_schema, conform
from .tables import Table

if TYPE_CHECKING:
    from google.cloud.bigquery_storage_v1 import BigQueryWriteClient

_LOG = logging.getLogger(__name__)
_REQUEST_BYTES = 8 * 1024 * 1024
"""BigQuery takes at most 10 MB in one append, its envelope included."""


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
        rows = conform(frame if isinstance(frame, pa.Table) else frame.to_arrow(), self._schema)
        pending = list(_batches(rows))
        deadline = time.monotonic() + self._params.stream.sink_deadline.total_seconds()
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

        def attempt() -> None:
            try:
                while pending:
                    self._send(pending, deadline)
            except GoogleAPICallError as error:
                self._disconnect()
                if _classify(error) == "lost":
                    self._stream = None
                _LOG.warning("append to %s: %s", self._table.rows, error)
                raise

        def passing(error: Exception) -> bool:
            return isinstance(error, GoogleAPICallError) and _classify(error) != "fatal"

        patience = max(0.0, deadline - time.monotonic())
        try:
            retry.again(attempt, passing, patience, pause=0.1, longest=2.0)
        except GoogleAPICallError as error:
            raise self._failure(error) from error

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

        client = write_client(self._params.bigquery)
        if self._stream is None:
            created = client.create_write_stream(
                parent=client.table_path(
                    self._params.cloud.project, self._params.bigquery.dataset, self._table.rows
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
        reason = one_line(error, 300) or type(error).__name__
        return ServiceError(
            "BigQuery no aceptó las filas de "
            f"{self._params.bigquery.dataset}.{self._table.rows}: {reason}. "
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
