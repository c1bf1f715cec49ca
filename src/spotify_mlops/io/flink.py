"""Flink's REST, and what a job of Beam's is told there, whoever sends it."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any
from urllib.parse import urlsplit

from ..config.errors import ServiceError, one_line
from . import addresses

JOB_MANAGER, JOB_SERVER, WORKERS = "flink", "flink-jobs", "flink-workers"
"""The local services, as ``up`` names them."""
ENDED = frozenset({"FINISHED", "CANCELED", "FAILED"})
"""States of a job that has ended."""
CHECKPOINTS = ("--checkpointing_interval=2000", "--finish_bundle_before_checkpointing")
"""Every two seconds. Without the second a checkpoint may begin within a bundle, and Flink lets the
watermark pass what the bundle gives out; those rows vanish, and no error tells."""
BUNDLES = "--max_bundle_time_mills=20"
"""What opens a bundle is sent to a worker when it closes, and a watermark waits for that: a window
passes four steps, and each adds up to this. Bundles that write last longer by themselves."""


def ask(
    where: str,
    path: str,
    method: str = "GET",
    body: object = None,
    *,
    context: ssl.SSLContext | None = None,
    patience: float = 30.0,
) -> dict[str, Any]:
    """Return what a JobManager's REST answers.

    Args:
        where: its URL; ``https://`` over TLS.
        path: from its root.
        method: of HTTP.
        body: as JSON; none where it is None.
        context: for a TLS of its own.
        patience: seconds to wait for an answer.

    Raises:
        ServiceError: it does not answer, or with an error.
    """
    host = urlsplit(where).netloc
    connection: http.client.HTTPConnection
    try:
        if where.startswith("https://"):
            connection = http.client.HTTPSConnection(host, timeout=patience, context=context)
        else:
            connection = http.client.HTTPConnection(host, timeout=patience)
        try:
            if body is None:
                connection.request(method, path)
            else:
                headers = {"content-type": "application/json"}
                connection.request(method, path, json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= http.client.BAD_REQUEST:
            raise ServiceError(f"Flink responde {answer.status}: {one_line(content[:300])}")
        return dict(json.loads(content))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise addresses.unreachable("Flink", where, error) from error
