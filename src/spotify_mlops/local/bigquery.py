"""The BigQuery emulator: REST, Storage Read and Storage Write on one DuckDB file."""

from __future__ import annotations

import http.client
import sys
from collections.abc import Mapping

from . import cache, guard, ports, secret, state

PORTS = ("rest", "grpc")


def addresses(chosen: Mapping[str, int]) -> dict[str, str]:
    """Return what clients need: ``rest`` (a URL) and ``grpc`` (host:port)."""
    return {
        "rest": f"http://{ports.HOST}:{chosen['rest']}",
        "grpc": f"{ports.HOST}:{chosen['grpc']}",
    }


def command(
    chosen: Mapping[str, int], progress: cache.Progress
) -> tuple[list[str], dict[str, str]]:
    """Return argv and environment."""
    data = state.folder("bigquery")
    argv = [
        sys.executable,
        "-m",
        "spotify_mlops.local.bigquery_server",
        str(data),
        str(chosen["rest"]),
        str(chosen["grpc"]),
    ]
    # DuckDB installs its extensions under HOME: the project's cache instead of the user's.
    return argv, {"HOME": str(cache.folder("duckdb"))}


def is_ready(chosen: Mapping[str, int]) -> bool:
    """Ask for the list of datasets over REST; gRPC opens after it and must accept too."""
    if not (ports.listens(chosen["rest"]) and ports.listens(chosen["grpc"])):
        return False
    connection = http.client.HTTPConnection(ports.HOST, chosen["rest"], timeout=2)
    try:
        headers = {"authorization": guard.authorization(secret.key("bigquery"))}
        connection.request("GET", "/bigquery/v2/projects/health/datasets", headers=headers)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
