"""The processes that stay: streaming job, prediction endpoint, live simulator."""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.request
from datetime import datetime
from pathlib import Path
from threading import Event

import yaml

from .. import clients, paths
from ..errors import ServiceError
from ..local import ports, processes, services, state
from ..params import Params
from .stream import ready_file

STREAM, ENDPOINT, SIMULATOR = "stream", "endpoint", "simulator"
_HEALTH = "/health"


def params_file(params: Params) -> Path:
    """Write the params as they are in force, for a process of their own; return the file."""
    path = paths.state_dir() / "run" / f"{params.profile}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = params.model_dump(mode="json", exclude_defaults=True) | {"profile": params.profile}
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path


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


def start_endpoint(params: Params) -> state.Record:
    """Start the prediction endpoint and wait until its model answers."""
    known = state.get(ENDPOINT)
    port = ports.choose(["http"], known.ports if known else {})["http"]
    url = f"http://127.0.0.1:{port}"
    return _start(
        params,
        ENDPOINT,
        ["serve"],
        lambda: _is_healthy(url + _HEALTH),
        env={"AIP_HTTP_PORT": str(port), "AIP_HEALTH_ROUTE": _HEALTH},
        ports={"http": port},
        addresses={"url": url},
    )


def stop_apps() -> None:
    """Stop streaming job, endpoint and simulator; the services stay."""
    for name in (SIMULATOR, STREAM, ENDPOINT):
        record = state.get(name)
        if record is not None and record.pid is not None:
            processes.stop(record)


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
    deadline = time.monotonic() + timeout
    pause = Event()
    while True:
        found = int(clients.query(params, sql, **given).item())
        if found:
            return found
        crashed = [s for s in services.status() if s.name == STREAM and s.state == "crashed"]
        if crashed:
            raise ServiceError(f"La tarea de streaming terminó.\n{crashed[0].log_tail}")
        if time.monotonic() >= deadline:
            raise ServiceError(
                f"No llegaron predicciones en {timeout:g} s. Mira «spotify-mlops status»."
            )
        pause.wait(0.5)


def _start(
    params: Params,
    name: str,
    command: list[str],
    ready: object,
    *,
    env: dict[str, str] | None = None,
    ports: dict[str, int] | None = None,
    addresses: dict[str, str] | None = None,
) -> state.Record:
    running = state.get(name)
    if running is not None and running.pid is not None:
        processes.stop(running)  # it may serve another profile, or older parameters
    argv = [sys.executable, "-m", "spotify_mlops", *command, "--params", str(params_file(params))]
    return processes.start(
        name,
        argv,
        ready=ready,  # type: ignore[arg-type]
        timeout=params.service_timeout.total_seconds(),
        env=env,
        ports=ports,
        addresses=addresses,
    )


def _is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
