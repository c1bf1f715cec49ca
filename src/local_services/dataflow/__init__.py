"""The Dataflow stand-in: the REST routes that Beam's runner and Google's own client call.

Jobs as in Dataflow, requests and answers made of Google's own ``dataflow_v1beta3`` messages, state
in one SQLite file. Where Dataflow runs a graph in containers on machines of its own, this has the
local Flink cluster run it, by the workers of this machine in place of the image. What it does not
implement it refuses with UNIMPLEMENTED.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from spotify_mlops.config.progress import Progress
from spotify_mlops.io.local import environment, state

from ..google_api import HEALTH
from ..service import Service, answers

NAME = "dataflow"


def _command(chosen: Mapping[str, int], progress: Progress) -> tuple[list[str], dict[str, str]]:
    argv = [
        *(sys.executable, "-m", "local_services.dataflow"),
        *(str(state.folder(NAME)), str(chosen["http"])),
    ]
    return argv, environment.outbound()  # graphs may be in a bucket


SERVICE = Service(
    NAME,
    "Dataflow (local)",
    ("http",),
    _command,
    lambda chosen: answers(chosen["http"], HEALTH),
    # Beam's runner speaks REST to a "localhost" and gRPC, over TLS, to all others.
    lambda chosen: {"url": f"http://localhost:{chosen['http']}"},
)
