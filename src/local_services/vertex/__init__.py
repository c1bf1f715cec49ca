"""The Vertex AI stand-in: the REST routes that Google's own client calls, on this machine.

Registry, endpoints and jobs as in Vertex AI, requests and answers made of Google's own
``aiplatform_v1`` messages, state in one SQLite file. Where Vertex AI runs an image, this runs the
container spec's command as a process of this machine, with the same environment variables. What
it does not implement it refuses with UNIMPLEMENTED.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from spotify_mlops.config.progress import Progress
from spotify_mlops.io.http import guard, ports
from spotify_mlops.io.local import environment, secret, state
from spotify_mlops.io.vertex.clients import READY

from ..service import answers

PORTS = ("http",)


def addresses(chosen: Mapping[str, int]) -> dict[str, str]:
    """Return what clients need: ``url``."""
    return {"url": f"http://{ports.HOST}:{chosen['http']}"}


def command(chosen: Mapping[str, int], progress: Progress) -> tuple[list[str], dict[str, str]]:
    """Return argv and environment."""
    argv = [
        sys.executable,
        "-m",
        "local_services.vertex",
        str(state.folder("vertex")),
        str(chosen["http"]),
    ]
    return argv, environment.outbound()  # artifacts may be in a bucket


def is_ready(chosen: Mapping[str, int]) -> bool:
    """Ask the server itself; deployed models may still be starting."""
    headers = {"authorization": guard.authorization(secret.key("vertex"))}
    return answers(chosen["http"], READY, headers)
