"""The Dataflow stand-in: the REST routes that Beam's runner and Google's own client call.

Jobs as in Dataflow, requests and answers made of Google's own ``dataflow_v1beta3`` messages, state
in one SQLite file. Where Dataflow runs a graph in containers on machines of its own, this has the
local Flink cluster run it, by the workers of this machine in place of the image. What it does not
implement it refuses with UNIMPLEMENTED.
"""

from __future__ import annotations

import http.client
import sys
from collections.abc import Mapping

from spotify_mlops.config.progress import Progress
from spotify_mlops.io.http import ports
from spotify_mlops.io.local import environment, state

from ..service import Service

NAME = "dataflow"
HEALTH = "/healthz"


def _command(chosen: Mapping[str, int], progress: Progress) -> tuple[list[str], dict[str, str]]:
    argv = [
        *(sys.executable, "-m", "local_services.dataflow"),
        *(str(state.folder(NAME)), str(chosen["http"])),
    ]
    return argv, environment.outbound()  # graphs may be in a bucket


def _is_ready(chosen: Mapping[str, int]) -> bool:
    if not ports.listens(chosen["http"]):
        return False
    connection = http.client.HTTPConnection(ports.HOST, chosen["http"], timeout=2)
    try:
        connection.request("GET", HEALTH)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


SERVICE = Service(
    NAME,
    "Dataflow (local)",
    ("http",),
    _command,
    _is_ready,
    # Beam's runner speaks REST to a "localhost" and gRPC, over TLS, to all others.
    lambda chosen: {"url": f"http://localhost:{chosen['http']}"},
)
