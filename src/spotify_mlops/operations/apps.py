"""The processes that stay: streaming job, live simulator, observer of the model, live page."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime

from ..config import secrets
from ..config.errors import ServiceError
from ..config.params import Params, params_file
from ..config.spanish import exact
from ..io import bigquery, retry
from ..io.http import ports
from ..io.local import environment, processes, state
from .engines.attempt import ready_file

STREAM, SIMULATOR, OBSERVER, DASHBOARD = "stream", "simulator", "observer", "dashboard"
_OBSERVE_SECONDS = 30
_LOADING_SECONDS = 60.0
"""What a process may take on a busy machine before it asks a service for anything."""
_SECRETS = {
    STREAM: ("kafka_username", "kafka_password", "kafka_ca", "mongo_uri"),
    SIMULATOR: ("kafka_username", "kafka_password", "kafka_ca"),
}
"""Parameters whose secrets a process uses; the others, which ask BigQuery alone, get none."""


def start_stream(params: Params) -> state.Record:
    """Start the streaming job in the background and wait until it runs.

    Raises:
        ServiceError: it ended while starting; the message has the end of its log.
    """
    ready_file().unlink(missing_ok=True)
    return _start(params, STREAM, ["stream"], ready_file().exists)


def start_simulator(params: Params) -> state.Record:
    """Start the live part of the simulator in the background."""
    return _start(params, SIMULATOR, ["ingest", "simulator", "--live"], None)


def start_live_source(params: Params) -> state.Record | None:
    """Start what goes on publishing by itself, where the params' source does: the simulator."""
    return start_simulator(params) if params.sources.source == "simulator" else None


def start_observer(params: Params) -> state.Record:
    """Start ``monitor`` in the background, to score and watch, and to change nothing."""
    every = ["--every", str(_OBSERVE_SECONDS)]
    return _start(params, OBSERVER, ["monitor", "--observe", *every], None)


def start_dashboard(params: Params, name: str = DASHBOARD) -> state.Record:
    """Start the live page in the background and wait until it answers.

    Args:
        params: whose dataset it shows.
        name: of its record; another name is a page beside that of ``make run``.

    Raises:
        ServiceError: it ended while starting; the message has the end of its log.
    """
    before = _stop(name)
    port = ports.free(before.ports.get("http", ports.PAGE) if before else ports.PAGE)
    return _start(
        params, name, ["dashboard", "--port", str(port)], lambda: ports.listens(port), port
    )


def stop_apps() -> None:
    """Stop observer, simulator and streaming job; services, endpoint and live page stay."""
    for name in (OBSERVER, SIMULATOR, STREAM):
        _stop(name)


def wait_for_predictions(params: Params, after: datetime | None, timeout: float = 120.0) -> int:
    """Wait until BigQuery shows predictions of windows that start after ``after``.

    Returns:
        How many there are.

    Raises:
        ServiceError: none came in time, or the streaming job ended.
    """
    where = "WHERE window_start > @after" if after is not None else ""
    sql = f"SELECT COUNT(*) AS n FROM {{dataset}}.spotify_predictions {where}"
    given = {"after": after} if after is not None else {}

    def count() -> int:
        found = int(bigquery.query(params, sql, **given).item())
        job = state.get(STREAM)
        if not found and job is not None and job.pid is not None and not processes.is_alive(job):
            raise ServiceError(f"La tarea de streaming terminó.\n{processes.tail(job.log)}")
        return found

    if found := retry.until(count, bool, timeout):
        return found
    raise ServiceError(
        f"No llegaron predicciones en {exact(timeout)} s. Mira «spotify-mlops status»."
    )


def _stop(name: str) -> state.Record | None:
    """Stop a process if it runs; return its record."""
    record = state.get(name)
    if record is not None and record.pid is not None:
        processes.stop(record)
    return record


def _start(
    params: Params,
    name: str,
    command: list[str],
    ready: Callable[[], bool] | None,
    port: int | None = None,
) -> state.Record:
    _stop(name)  # it may serve another profile, or older parameters
    argv = [sys.executable, "-m", "spotify_mlops", *command, "--params", str(params_file(params))]
    return processes.start(
        name,
        argv,
        ready=ready,
        timeout=_LOADING_SECONDS + params.stream.service_timeout.total_seconds(),
        env=environment.outbound() | secrets.variables(params, *_SECRETS.get(name, ())),
        ports={} if port is None else {"http": port},
        addresses={} if port is None else {"url": f"http://{ports.HOST}:{port}/"},
    )
