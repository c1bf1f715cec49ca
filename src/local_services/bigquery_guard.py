"""Whom the BigQuery emulator answers, and which files it opens.

Its SQL is DuckDB's, which can read and write files, attach databases and load programs. Neither
may a web page or another user of the machine send it any, nor is a file outside the folder of
uploads opened for who may. Installed before the emulator's modules are used.
"""

from __future__ import annotations

import functools
import hmac
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from spotify_mlops.io.http import guard
from spotify_mlops.io.http.browsers import Rule

HEALTH = "/healthz"
_RULE = Rule(uploads={"/upload/": frozenset({"multipart/related", "*/*"})})
"""Of the official client: ``*/*`` is the type of the chunks of a resumable upload."""


def only_the_owner(server: Any, key: str) -> None:
    """Ask who calls for the key, over REST and gRPC.

    Args:
        server: the module ``bqemulator.server``.
        key: the one of BigQuery.
    """
    create_app = server.create_app

    def guarded(context: Any) -> guard.Guard:
        app = create_app(context)
        return guard.Guard(app, "bigquery", key, _RULE, frozenset({HEALTH}))

    server.create_app = guarded
    grpc_server = grpc.aio.server

    @functools.wraps(grpc_server)
    def guarded_server(*arguments: Any, interceptors: Any = (), **named: Any) -> Any:
        return grpc_server(*arguments, interceptors=(_Interceptor(key), *interceptors), **named)

    grpc.aio.server = guarded_server


class _Interceptor(grpc.aio.ServerInterceptor):
    def __init__(self, key: str) -> None:
        self._authorization = guard.authorization(key).encode()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        given = dict(details.invocation_metadata or ()).get("authorization", "")
        if hmac.compare_digest(str(given).encode(), self._authorization):
            return await continuation(details)
        # Fits every kind of call, and ends it before a message of it is read.
        return grpc.stream_stream_rpc_method_handler(_refuse)


async def _refuse(requests: Any, context: Any) -> None:
    await context.abort(
        grpc.StatusCode.UNAUTHENTICATED,
        "Falta la clave de este servidor, o no es la suya (metadato «authorization»).",
    )


def shut_in(connection: Any, uploads: Path) -> None:
    """Let a DuckDB database open its own files and those of a folder, and load nothing more.

    It cannot be undone while the database is open: ``SET enable_external_access`` and ``SET
    allowed_directories`` are refused from then on.
    """
    folder = str(uploads).replace("'", "''")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    connection.execute(f"SET allowed_directories = ['{folder}']")
    connection.execute("SET enable_external_access = false")


def shut_in_conversions(uploads: Path) -> None:
    """Do the same to the database in memory where the emulator converts geographies.

    It would fetch its extension, were it not in place.
    """
    import duckdb
    from bqemulator.types import geography

    connection = duckdb.connect(":memory:")
    connection.execute("LOAD spatial")
    shut_in(connection, uploads)
    geography._CONV_CONN = connection


def only_uploads(executor: Any, uploads: Path) -> None:
    """Refuse load and extract jobs that name a file outside a folder.

    Some formats are read by libraries, which DuckDB's rules do not bind.

    Args:
        executor: the module ``bqemulator.jobs.executor``.
        uploads: the folder, resolved.
    """
    from bqemulator.domain.errors import InvalidQueryError

    resolve = executor._resolve_uri

    @functools.wraps(resolve)
    def within(uri: str, context: Any) -> str:
        path = Path(resolve(uri, context)).resolve()
        if uploads not in path.parents:
            raise InvalidQueryError(
                f"«{uri}» no está al alcance: se carga con una subida (load_table_from_file)."
            )
        return str(path)

    executor._resolve_uri = within
