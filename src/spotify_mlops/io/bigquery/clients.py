"""BigQuery's official clients, and queries with them. Nothing else in the project makes one."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from ...config.params import Params
from ...config.sections import BigQuery
from ..addresses import (
    DEFAULT,
    PING_SECONDS,
    address,
    check_way,
    is_plain,
    key,
    own_credentials,
    unreachable,
)

if TYPE_CHECKING:
    import grpc
    import pandas as pd
    import polars as pl
    from google.cloud import bigquery, bigquery_storage_v1

_FIRST_PAGE = 1000
"""Rows up to which a result comes with the query's own answer."""
_GRPC_OPTIONS = (
    ("grpc.enable_http_proxy", 0),  # of a server of this machine
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)


def client(params: Params) -> bigquery.Client:
    """Return the BigQuery client (REST), with the params' dataset as default dataset.

    One client is kept for each process and address.
    """
    rest = address(params.bigquery.rest, "bigquery", "rest")
    own = key(params.bigquery.rest, "bigquery")
    return _client(rest, params.cloud.project, params.bigquery.dataset, os.getpid(), own)


def read_client(bigquery: BigQuery) -> bigquery_storage_v1.BigQueryReadClient:
    """Return the client of the Storage Read API; one for each process and address."""
    target = address(bigquery.grpc, "bigquery", "grpc")
    return _read_client(target, os.getpid(), key(bigquery.grpc, "bigquery"))


def write_client(bigquery: BigQuery) -> bigquery_storage_v1.BigQueryWriteClient:
    """Return the client of the Storage Write API; one for each process and address."""
    target = address(bigquery.grpc, "bigquery", "grpc")
    return _write_client(target, os.getpid(), key(bigquery.grpc, "bigquery"))


def query(params: Params, sql: str, **parameters: Any) -> pl.DataFrame:
    """Run a query and return its rows; ``{dataset}`` in it stands for the params' dataset.

    A small result comes with the answer to the query itself; a large one over the Storage Read
    API as Arrow. Each is the fastest official way for its size: the client's reader of the second
    asks only every 0.2 s whether it is done.

    Args:
        params: where BigQuery is.
        sql: GoogleSQL with ``@name`` parameters.
        parameters: their values (str, bool, int, float, bytes, date, aware datetime, or a list
            of one of these).

    Raises:
        google.api_core.exceptions.GoogleAPICallError: what BigQuery says of the query.
    """
    import polars as pl

    frame = pl.from_arrow(_run(params, sql, parameters))
    assert isinstance(frame, pl.DataFrame)
    return frame


def query_pandas(params: Params, sql: str, **parameters: Any) -> pd.DataFrame:
    """Do as ``query`` and return a pandas frame."""
    return _run(params, sql, parameters).to_pandas()


def ping(params: Params) -> None:
    """Ask BigQuery something.

    Raises:
        ServiceError: it does not answer.
    """
    import requests
    from google.api_core.exceptions import GoogleAPICallError
    from google.api_core.retry import Retry, if_exception_type
    from google.auth.exceptions import GoogleAuthError

    rest = client(params)
    try:
        list(
            rest.list_datasets(
                max_results=1, retry=Retry(predicate=if_exception_type()), timeout=PING_SECONDS
            )
        )
    except (GoogleAPICallError, GoogleAuthError, requests.RequestException) as error:
        raise unreachable("BigQuery", params.bigquery.rest, error) from error


def _run(params: Params, sql: str, parameters: Mapping[str, Any]) -> Any:
    from google.cloud import bigquery
    from google.cloud.bigquery.retry import DEFAULT_JOB_RETRY

    rest = client(params)
    config = bigquery.QueryJobConfig(
        query_parameters=[_query_parameter(name, value) for name, value in parameters.items()]
    )
    text = sql.replace("{dataset}", params.bigquery.dataset)
    patience = params.stream.service_timeout.total_seconds()
    rows = rest.query_and_wait(
        text,
        job_config=config,
        retry=bigquery.DEFAULT_RETRY.with_timeout(patience),
        job_retry=DEFAULT_JOB_RETRY.with_timeout(patience),  # by itself: forty minutes
        api_timeout=patience,  # of each request: a long query is asked for again and again
        page_size=_FIRST_PAGE,
    )
    return rows.to_arrow(bqstorage_client=read_client(params.bigquery))


def _query_parameter(name: str, value: Any) -> Any:
    from google.cloud import bigquery

    if isinstance(value, (list, tuple)):
        kind = _sql_type(value[0]) if value else "STRING"
        return bigquery.ArrayQueryParameter(name, kind, list(value))
    return bigquery.ScalarQueryParameter(name, _sql_type(value), value)


def _sql_type(value: Any) -> str:
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "BOOL"),  # before int, which it is too
        (int, "INT64"),
        (float, "FLOAT64"),
        (str, "STRING"),
        (bytes, "BYTES"),
        (datetime, "TIMESTAMP"),  # before date, which it is too
        (date, "DATE"),
    )
    for kind, name in kinds:
        if isinstance(value, kind):
            return name
    raise TypeError(f"no BigQuery parameter type for {type(value).__name__}")


@functools.cache
def _client(rest: str, project: str, dataset: str, pid: int, own: str | None) -> bigquery.Client:
    from google.api_core.client_options import ClientOptions
    from google.cloud import bigquery

    config = bigquery.QueryJobConfig(default_dataset=f"{project}.{dataset}")
    if rest == DEFAULT:
        return bigquery.Client(project=project, default_query_job_config=config)
    return bigquery.Client(
        project=project,
        credentials=own_credentials(rest, own) if is_plain(rest) else None,
        client_options=ClientOptions(api_endpoint=rest),
        default_query_job_config=config,
    )


def _channel(target: str, own: str | None) -> grpc.Channel:
    import grpc

    channel = grpc.insecure_channel(target, options=_GRPC_OPTIONS)
    if own is None:
        return channel
    from ..http import bearer

    check_way(target)
    return bearer.authorized(channel, own)


@functools.cache
def _read_client(target: str, pid: int, own: str | None) -> bigquery_storage_v1.BigQueryReadClient:
    from google.cloud.bigquery_storage_v1 import BigQueryReadClient

    if not is_plain(target):
        return BigQueryReadClient(client_options=_endpoint_options(target))
    transport = BigQueryReadClient.get_transport_class("grpc")
    return BigQueryReadClient(transport=transport(channel=_channel(target, own)))


@functools.cache
def _write_client(
    target: str, pid: int, own: str | None
) -> bigquery_storage_v1.BigQueryWriteClient:
    from google.cloud.bigquery_storage_v1 import BigQueryWriteClient

    if not is_plain(target):
        return BigQueryWriteClient(client_options=_endpoint_options(target))
    transport = BigQueryWriteClient.get_transport_class("grpc")
    return BigQueryWriteClient(transport=transport(channel=_channel(target, own)))


def _endpoint_options(target: str) -> dict[str, str]:
    return {} if target == DEFAULT else {"api_endpoint": target}
