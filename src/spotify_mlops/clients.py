"""The official clients, pointed where the params say. Nothing else in the project makes one.

An endpoint parameter is ``local`` (what ``up`` started), an address, or ``default`` (the
library's own: the cloud). Clients of a loopback server use no TLS; those of what ``up`` started
carry its key, which goes to no other address.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from . import credentials, paths
from .errors import ServiceError
from .local import guard, kafka, mongo, peers, secret, state
from .local.vertex import READY as _VERTEX_READY
from .params import LOCAL, Params

if TYPE_CHECKING:
    from types import ModuleType

    import grpc
    import pandas as pd
    import polars as pl
    from google.cloud import bigquery, bigquery_storage_v1
    from pymongo import MongoClient
    from pymongo.database import Database

ServiceClient = TypeVar("ServiceClient")
DEFAULT = "default"
_PING_SECONDS = 5.0
_FIRST_PAGE = 1000
"""Rows up to which a result comes with the query's own answer."""
_GRPC_OPTIONS = (
    ("grpc.enable_http_proxy", 0),  # of a server of this machine
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)


def address(value: str, service: str, name: str) -> str:
    """Return an endpoint parameter's value, read from the state file when it is ``local``.

    Raises:
        ServiceError: it is ``local`` and that service is not up.
    """
    if value != LOCAL:
        return value
    record = state.get(service)
    if record is None or record.pid is None or name not in record.addresses:
        raise ServiceError(
            f"El servicio local «{service}» no está en marcha: ejecuta «spotify-mlops up»."
        )
    return record.addresses[name]


def _key(value: str, service: str) -> str | None:
    """Return the key of a service when an endpoint parameter means the local one."""
    return secret.key(service) if value == LOCAL else None


def kafka_config(params: Params) -> dict[str, Any]:
    """Return what every confluent-kafka client of this log starts from.

    For the local broker user and password are the state directory's own.

    Raises:
        ParamsError, ServiceError: user or password are not where the params say.
    """
    config: dict[str, Any] = {
        "bootstrap.servers": address(params.kafka_bootstrap, "kafka", "bootstrap"),
        "security.protocol": params.kafka_security_protocol,
        "log_level": 2,  # failures reach the caller; librdkafka's own lines are noise
    }
    if params.kafka_bootstrap == LOCAL:
        return config | kafka.client_settings()
    if params.kafka_sasl_mechanism:
        config["sasl.mechanism"] = params.kafka_sasl_mechanism
    if params.kafka_sasl_mechanism in ("PLAIN", "SCRAM-SHA-512"):
        config["sasl.username"] = credentials.resolve(params, "kafka_username")
        config["sasl.password"] = credentials.resolve(params, "kafka_password")
    return config


def bigquery_client(params: Params) -> bigquery.Client:
    """Return the BigQuery client (REST), with the params' dataset as default dataset.

    One client is kept for each process and address.
    """
    rest = address(params.bigquery_rest, "bigquery", "rest")
    key = _key(params.bigquery_rest, "bigquery")
    return _bigquery_client(rest, params.project, params.dataset, os.getpid(), key)


def bigquery_read_client(params: Params) -> bigquery_storage_v1.BigQueryReadClient:
    """Return the client of the Storage Read API; one for each process and address."""
    target = address(params.bigquery_grpc, "bigquery", "grpc")
    return _read_client(target, os.getpid(), _key(params.bigquery_grpc, "bigquery"))


def bigquery_write_client(params: Params) -> bigquery_storage_v1.BigQueryWriteClient:
    """Return the client of the Storage Write API; one for each process and address."""
    target = address(params.bigquery_grpc, "bigquery", "grpc")
    return _write_client(target, os.getpid(), _key(params.bigquery_grpc, "bigquery"))


def mongo_client(params: Params) -> MongoClient[dict[str, Any]]:
    """Return the MongoDB client (times as aware UTC); one for each process and address.

    It waits for an answer as long as a sink may take, and no longer.
    """
    patience = params.sink_deadline // timedelta(milliseconds=1)
    uri = address(credentials.resolve(params, "mongo_uri"), "mongo", "uri")
    user = mongo.client_settings() if params.mongo_uri == LOCAL else {}
    return _mongo_client(uri, patience, os.getpid(), **user)


def mongo_database(params: Params) -> Database[dict[str, Any]]:
    """Return the operational database."""
    return mongo_client(params)[params.mongo_database]


def archive_uri(params: Params) -> str:
    """Return the root of the archive: a ``gs://`` URI or a folder, without a final slash."""
    if params.archive != LOCAL:
        return params.archive.rstrip("/")
    return str(paths.state_dir() / "archive" / params.profile)


def vertex(params: Params) -> ModuleType:
    """Return the ``aiplatform`` module, initialised for the params' project and API.

    Importing it takes seconds (4 s of CPU, 240 MB): call this only where it is used, and prefer
    ``vertex_client`` where one of Google's service clients is enough. The module is initialised
    for the whole process: the last call holds.

    ``Model.upload`` takes ``gs://`` artifacts as they are and copies any other to the staging
    bucket. One in a folder is registered in place by ``vertex_client``'s ``upload_model``.

    Raises:
        ServiceError: it is the local one and is not up.
    """
    url = address(params.vertex, "vertex", "url")
    # The SDK tells each call on stdout, where answers go, unless it finds a handler.
    told = logging.getLogger("google.cloud.aiplatform")
    if not told.handlers:
        told.addHandler(logging.StreamHandler())
        told.handlers[0].setLevel(logging.WARNING)
    from google.cloud import aiplatform

    options: dict[str, Any] = {}
    if url != DEFAULT:
        options["api_endpoint"] = url
    if _is_plain(url):
        own = _local_credentials(url, _key(params.vertex, "vertex"))
        options |= {"api_transport": "rest", "credentials": own}
    aiplatform.init(
        project=params.project,
        location=params.location,
        staging_bucket=archive_uri(params),  # a job is not made without one
        **options,
    )
    return aiplatform


def vertex_parent(params: Params) -> str:
    """Return what the names of all resources in Vertex AI begin with."""
    return f"projects/{params.project}/locations/{params.location}"


def vertex_client(params: Params, kind: type[ServiceClient]) -> ServiceClient:
    """Return one of Google's service clients of Vertex AI; one for each process and address.

    Args:
        params: where the API is.
        kind: its class, such as ``aiplatform_v1.ModelServiceClient``.

    Raises:
        ServiceError: it is the local one and is not up.
    """
    url = address(params.vertex, "vertex", "url")
    key = _key(params.vertex, "vertex")
    return _vertex_client(kind, url, params.location, os.getpid(), key)  # type: ignore[arg-type,return-value]


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


def require(params: Params, *services: str) -> None:
    """Check that services answer now.

    Args:
        params: where they are.
        services: any of ``kafka``, ``bigquery``, ``mongo`` (default: these) and ``vertex``.

    Raises:
        ServiceError: one does not; the message names it and its address.
    """
    checks = {
        "kafka": _ping_kafka,
        "bigquery": _ping_bigquery,
        "mongo": _ping_mongo,
        "vertex": _ping_vertex,
    }
    for service in services or ("kafka", "bigquery", "mongo"):
        checks[service](params)


def _ping_kafka(params: Params) -> None:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    config = kafka_config(params)
    try:
        AdminClient({**config, "log_level": 0}).list_topics(timeout=_PING_SECONDS)
    except KafkaException as error:
        raise _unreachable("Kafka", config["bootstrap.servers"], error) from error


def _ping_bigquery(params: Params) -> None:
    import requests
    from google.api_core.exceptions import GoogleAPICallError
    from google.api_core.retry import Retry, if_exception_type
    from google.auth.exceptions import GoogleAuthError

    client = bigquery_client(params)
    try:
        list(
            client.list_datasets(
                max_results=1, retry=Retry(predicate=if_exception_type()), timeout=_PING_SECONDS
            )
        )
    except (GoogleAPICallError, GoogleAuthError, requests.RequestException) as error:
        raise _unreachable("BigQuery", params.bigquery_rest, error) from error


def _ping_mongo(params: Params) -> None:
    import pymongo
    from pymongo.errors import PyMongoError

    try:
        with pymongo.timeout(_PING_SECONDS):
            mongo_client(params).admin.command("ping")
    except PyMongoError as error:
        raise _unreachable("MongoDB", params.mongo_uri, error) from error


def _ping_vertex(params: Params) -> None:
    url = address(params.vertex, "vertex", "url")
    if _is_plain(url):  # the clients take seconds to import
        import urllib.request

        request = urllib.request.Request(url + _VERTEX_READY)
        if (key := _key(params.vertex, "vertex")) is not None:
            _check_way(url)
            request.add_header("authorization", guard.authorization(key))
        try:
            urllib.request.urlopen(request, timeout=_PING_SECONDS).close()
        except OSError as error:
            raise _unreachable("Vertex AI", url, error) from error
        return
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import aiplatform_v1

    request = aiplatform_v1.ListModelsRequest(parent=vertex_parent(params), page_size=1)
    try:
        client = vertex_client(params, aiplatform_v1.ModelServiceClient)
        client.list_models(request, timeout=_PING_SECONDS)
    except (GoogleAPICallError, GoogleAuthError) as error:
        raise _unreachable("Vertex AI", url, error) from error


def _unreachable(title: str, where: str, error: Exception) -> ServiceError:
    # An address may hold a password before its @.
    shown = where.rpartition("@")[2]
    reason = " ".join(str(error).split())[:160]
    return ServiceError(
        f"{title} no responde en {shown} ({reason}). "
        "En local: mira «spotify-mlops status» y ejecuta «spotify-mlops up»."
    )


def _run(params: Params, sql: str, parameters: Mapping[str, Any]) -> Any:
    from google.cloud import bigquery
    from google.cloud.bigquery.retry import DEFAULT_JOB_RETRY

    client = bigquery_client(params)
    config = bigquery.QueryJobConfig(
        query_parameters=[_query_parameter(name, value) for name, value in parameters.items()]
    )
    text = sql.replace("{dataset}", params.dataset)
    patience = params.service_timeout.total_seconds()
    rows = client.query_and_wait(
        text,
        job_config=config,
        retry=bigquery.DEFAULT_RETRY.with_timeout(patience),
        job_retry=DEFAULT_JOB_RETRY.with_timeout(patience),  # by itself: forty minutes
        api_timeout=patience,  # of each request: a long query is asked for again and again
        page_size=_FIRST_PAGE,
    )
    return rows.to_arrow(bqstorage_client=bigquery_read_client(params))


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


def _is_plain(value: str) -> bool:
    """Tell whether an address is a plain-text one of this machine."""
    host = value.removeprefix("http://").partition(":")[0]
    return not value.startswith("https://") and host in ("127.0.0.1", "localhost")


def _local_credentials(where: str, key: str | None) -> Any:
    """Return credentials for a plain-text server of this machine, with its key if it has one.

    Raises:
        ServiceError: there is a key, and another user's server at that address.
    """
    if key is None:
        from google.auth.credentials import AnonymousCredentials

        return AnonymousCredentials()
    from .local.bearer import KeyCredentials

    _check_way(where)
    return KeyCredentials(key)


def _check_way(where: str) -> None:
    """Refuse to send a key where somebody else would get it.

    Raises:
        ServiceError: another user's server is there, or a proxy is between.
    """
    import urllib.request

    host, _, port = where.removeprefix("http://").partition(":")
    if not peers.is_owners_server(int(port)):
        raise ServiceError(
            f"En {where} escucha un servidor de otro usuario: no se le envía ninguna clave. "
            "Mira «spotify-mlops status»."
        )
    proxied = {"http", "all"} & urllib.request.getproxies().keys()
    if proxied and not urllib.request.proxy_bypass(host):
        raise ServiceError(f"Lo que va a {where} pasaría por un proxy: añade {host} a no_proxy.")


@functools.cache
def _bigquery_client(
    rest: str, project: str, dataset: str, pid: int, key: str | None
) -> bigquery.Client:
    from google.api_core.client_options import ClientOptions
    from google.cloud import bigquery

    config = bigquery.QueryJobConfig(default_dataset=f"{project}.{dataset}")
    if rest == DEFAULT:
        return bigquery.Client(project=project, default_query_job_config=config)
    return bigquery.Client(
        project=project,
        credentials=_local_credentials(rest, key) if _is_plain(rest) else None,
        client_options=ClientOptions(api_endpoint=rest),
        default_query_job_config=config,
    )


def _channel(target: str, key: str | None) -> grpc.Channel:
    import grpc

    channel = grpc.insecure_channel(target, options=_GRPC_OPTIONS)
    if key is None:
        return channel
    from .local import bearer

    _check_way(target)
    return bearer.authorized(channel, key)


@functools.cache
def _read_client(target: str, pid: int, key: str | None) -> bigquery_storage_v1.BigQueryReadClient:
    from google.cloud.bigquery_storage_v1 import BigQueryReadClient

    if not _is_plain(target):
        return BigQueryReadClient(client_options=_endpoint_options(target))
    transport = BigQueryReadClient.get_transport_class("grpc")
    return BigQueryReadClient(transport=transport(channel=_channel(target, key)))


@functools.cache
def _write_client(
    target: str, pid: int, key: str | None
) -> bigquery_storage_v1.BigQueryWriteClient:
    from google.cloud.bigquery_storage_v1 import BigQueryWriteClient

    if not _is_plain(target):
        return BigQueryWriteClient(client_options=_endpoint_options(target))
    transport = BigQueryWriteClient.get_transport_class("grpc")
    return BigQueryWriteClient(transport=transport(channel=_channel(target, key)))


def _endpoint_options(target: str) -> dict[str, str]:
    return {} if target == DEFAULT else {"api_endpoint": target}


@functools.cache
def _mongo_client(uri: str, patience: int, pid: int, **user: Any) -> MongoClient[dict[str, Any]]:
    from pymongo import MongoClient

    return MongoClient(
        uri, tz_aware=True, serverSelectionTimeoutMS=10_000, socketTimeoutMS=patience, **user
    )


@functools.cache
def _vertex_client(kind: Any, url: str, location: str, pid: int, key: str | None) -> Any:
    from google.api_core.client_options import ClientOptions

    if url == DEFAULT:
        url = f"{location}-aiplatform.googleapis.com"
    options = ClientOptions(api_endpoint=url)
    if not _is_plain(url):
        return kind(client_options=options)
    own = _local_credentials(url, key)
    return kind(transport="rest", client_options=options, credentials=own)
