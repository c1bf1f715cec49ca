"""What the emulator answers otherwise than BigQuery, and clients notice.

In ``api/routes/jobs.py`` (a failed query), ``api/routes/tables.py`` (a view), and the Storage API's
``grpc_api/read_servicer.py`` (a query's result) and ``write_servicer.py`` (a full disk), and in
``sql/translator.py`` (the names of a result's columns).
"""

from __future__ import annotations

import functools
from typing import Any

import bqemulator.grpc_api.read_servicer as read_servicer
import bqemulator.grpc_api.write_servicer as write_servicer
import bqemulator.jobs.executor as executor
import bqemulator.streaming.read_session as read_session
from bqemulator.api.routes import jobs, tables
from bqemulator.domain.errors import DomainError
from bqemulator.sql.translator import SQLTranslator
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from google.cloud.bigquery_storage_v1 import types
from sqlglot import exp


class ReadResults(read_servicer.BigQueryReadHandler):
    """Storage Read of a query's result, by the anonymous table that its job names.

    This is what the official client does for large results; the emulator has the result
    but not the table.
    """

    def _handle_create_read_session(self, request_bytes, context):  # type: ignore[no-untyped-def]
        request = types.CreateReadSessionRequest.deserialize(request_bytes)
        session = request.read_session
        table = _result(session.table)
        if table is None:
            return super()._handle_create_read_session(request_bytes, context)
        fields = list(session.read_options.selected_fields) if session.read_options else None
        state = read_session.create_read_session(
            project_id=session.table.split("/")[1],
            table_ref=session.table,
            arrow_table=table,
            max_streams=request.max_stream_count or 1,
            selected_fields=fields,
        )
        self._ctx.metrics.read_streams_active.inc(len(state.streams))
        return types.ReadSession.serialize(
            read_servicer._build_read_session_response(
                state=state,
                read_session=session,
                session_format=read_session.FORMAT_ARROW,
                wire_format=types.DataFormat.ARROW,
                arrow_table=table,
            )
        )


class ForgetsFailures(write_servicer.BigQueryWriteHandler):
    """Storage Write that does not count rows as there when they could not be written.

    The emulator moves a stream's offset first: the append that is repeated after a full disk
    would be told that its rows exist. A client whose stream is unknown begins another.
    """

    def _flush_to_target(self, stream, rows):  # type: ignore[no-untyped-def]
        try:
            super()._flush_to_target(stream, rows)
        except BaseException:
            self._manager.delete(stream.name)
            raise


def correct() -> None:
    """Make the answers BigQuery's. To be called before the application is built."""
    _refuse_failed_queries()
    _show_view_queries()
    _keep_case_of_names()
    read_servicer.BigQueryReadHandler = ReadResults  # type: ignore[misc]
    write_servicer.BigQueryWriteHandler = ForgetsFailures  # type: ignore[misc]


def _refuse_failed_queries() -> None:
    """Answer a failed ``jobs.query`` with its HTTP status, as BigQuery does.

    The emulator answers 200 with ``errors``, which are warnings to the official client: a failed
    query would have no rows.
    """

    statuses = {kind.bq_reason: kind.http_status for kind in DomainError.__subclasses__()}
    query = jobs.query

    @functools.wraps(query)
    async def answered(*arguments: Any, **named: Any) -> Any:
        answer = await query(*arguments, **named)
        if not answer.get("errors"):
            return answer
        error = answer["errors"][0]
        code = statuses.get(error["reason"], 400)
        body = {"code": code, "message": error["message"], "errors": [error]}
        return JSONResponse({"error": body}, status_code=code)

    for route in jobs.router.routes:
        if isinstance(route, APIRoute) and route.endpoint is query:
            route.endpoint = answered


def _show_view_queries() -> None:
    """Say a view's query in ``tables.get``, as BigQuery does: who has it need not replace it."""

    shown = tables._table_to_rest

    @functools.wraps(shown)
    def whole(table: Any) -> dict[str, Any]:
        body = shown(table)
        if table.view_query:
            body["view"] = {"query": table.view_query, "useLegacySql": False}
        return body

    tables._table_to_rest = whole  # type: ignore[assignment]


def _keep_case_of_names() -> None:
    """Name a result's columns as the query does, as BigQuery does.

    To learn the types of columns the emulator qualifies the query, and so writes its names small.
    """
    annotate = SQLTranslator._annotate_tree

    def annotated(tree: exp.Expression, schema: dict[str, Any]) -> exp.Expression:
        names = tree.named_selects if isinstance(tree, exp.Query) else []
        found = annotate(tree, schema)
        columns = found.selects if isinstance(found, exp.Query) else []
        for column, name in zip(columns, names, strict=False):
            if isinstance(column, exp.Alias) and column.alias == name.lower():
                column.set("alias", exp.to_identifier(name, quoted=True))
        return found

    SQLTranslator._annotate_tree = staticmethod(annotated)  # type: ignore[method-assign]


def _result(path: str) -> Any:
    """Return the Arrow result behind ``projects/P/datasets/_bqemu_anonymous/tables/anonJOB``."""
    _, _, _, dataset, _, table = path.split("/")
    if dataset != executor._ANONYMOUS_RESULTS_DATASET:
        return None
    for job_id, result in executor.JOB_RESULTS.items():
        if table == f"anon{job_id.replace('-', '')}":
            return result
    return None
