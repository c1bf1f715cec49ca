"""The BigQuery emulator: REST, Storage Read and Storage Write on one DuckDB file."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Mapping
from typing import Any

from spotify_mlops.config.errors import one_line
from spotify_mlops.config.progress import Progress
from spotify_mlops.io.http import guard, ports
from spotify_mlops.io.local import environment, health, secret, state

from . import cache

PORTS = ("rest", "grpc")
_PROBE = ("CREATE OR REPLACE TABLE health.probe AS SELECT 1 AS n", "SELECT n FROM health.probe")


def addresses(chosen: Mapping[str, int]) -> dict[str, str]:
    """Return what clients need: ``rest`` (a URL) and ``grpc`` (host:port)."""
    return {
        "rest": f"http://{ports.HOST}:{chosen['rest']}",
        "grpc": f"{ports.HOST}:{chosen['grpc']}",
    }


def command(chosen: Mapping[str, int], progress: Progress) -> tuple[list[str], dict[str, str]]:
    """Return argv and environment."""
    data = state.folder("bigquery")
    argv = [
        sys.executable,
        "-m",
        "local_services.bigquery_server",
        str(data),
        str(chosen["rest"]),
        str(chosen["grpc"]),
    ]
    # DuckDB installs its extensions under HOME: the project's cache instead of the user's.
    # Objects that it loads may be in a bucket.
    return argv, environment.outbound() | {"HOME": str(cache.folder("duckdb"))}


def is_ready(chosen: Mapping[str, int]) -> bool:
    """Write a table of a project of its own over REST and read it; both ports must accept.

    The emulator answers queries one after the other: one that is busy is well.

    Raises:
        BrokenError: the emulator answers with an error.
    """
    if not (ports.listens(chosen["rest"]) and ports.listens(chosen["grpc"])):
        return False
    try:
        if "error" in _ask(chosen, "datasets/health"):
            reference = {"projectId": "health", "datasetId": "health"}
            _ask(chosen, "datasets", {"datasetReference": reference})
        try:
            for sql in _PROBE:
                answer = _ask(chosen, "queries", {"query": sql, "useLegacySql": False})
                if "error" in answer:
                    raise health.BrokenError(one_line(answer["error"]["message"], 200))
        except TimeoutError:
            return "error" not in _ask(chosen, "datasets")
    except (OSError, http.client.HTTPException, ValueError):
        return False
    return bool(answer.get("rows"))


def _ask(
    chosen: Mapping[str, int], path: str, body: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Ask the emulator about the project ``health``; an error's answer has ``error``."""
    connection = http.client.HTTPConnection(ports.HOST, chosen["rest"], timeout=2)
    try:
        connection.request(
            "GET" if body is None else "POST",
            f"/bigquery/v2/projects/health/{path}",
            None if body is None else json.dumps(body),
            {
                "Content-Type": "application/json",
                "Authorization": guard.authorization(secret.key("bigquery")),
            },
        )
        return dict(json.loads(connection.getresponse().read()))
    finally:
        connection.close()
