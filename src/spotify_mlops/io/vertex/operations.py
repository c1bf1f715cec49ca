"""Vertex AI's long-running operations: waited for, told of, and found again by whoever comes later.

A deployment takes minutes. The operation goes on in Vertex AI whoever waits for it, and its name
says of what it is: ``<endpoint>/operations/<number>``.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any, Literal

from google.api_core import retry as api_retry
from google.longrunning import operations_pb2

from ...config.durations import format_duration
from ...config.errors import ServiceError
from ...config.progress import Progress
from .. import retry

POLL_SECONDS = 0.5
"""At the beginning; a longer and longer pause follows, up to `SLOW_SECONDS`."""
SLOW_SECONDS = 10.0
TELL_SECONDS = 15.0


Step = Literal["create", "deploy", "undeploy", "delete", "earlier"]
_WORDS: dict[Step, str] = {
    "create": "crear el endpoint {}",
    "deploy": "desplegar {}",
    "undeploy": "retirar {}",
    "delete": "borrar {}",
    "earlier": "acabar un despliegue anterior en {}",
}


class _UnderWayError(Exception):
    """It has not ended yet."""


def pending(client: Any, resource: str) -> list[str]:
    """Return the names of a resource's operations that have not ended.

    Args:
        client: one of Vertex AI's service clients.
        resource: its name, such as ``projects/P/locations/L/endpoints/E``.

    Raises:
        google.api_core.exceptions.GoogleAPICallError: Vertex AI refuses or does not answer.
    """
    found: list[str] = []
    token = ""
    while True:
        page = client.list_operations({"name": resource, "page_token": token})
        found += [operation.name for operation in page.operations if not operation.done]
        token = page.next_page_token
        if not token:
            return found


def ended(
    client: Any, name: str, step: Step, of: str, patience: timedelta, say: Progress
) -> operations_pb2.Operation:
    """Wait for an operation and return it; it may have failed.

    Args:
        client: one of Vertex AI's service clients.
        name: of the operation.
        step: what it does.
        of: what it does that to, such as ``popularity@3``; for people.
        patience: how long to wait.
        say: is told that it is waited for, at once and now and then.

    Raises:
        ServiceError: it goes on for longer than that.
        google.api_core.exceptions.GoogleAPICallError: Vertex AI refuses or does not answer.
    """
    what = _WORDS[step].format(of)
    began = time.monotonic()
    told = began - TELL_SECONDS

    def ask() -> operations_pb2.Operation:
        nonlocal told
        found: operations_pb2.Operation = client.get_operation(
            {"name": name}, retry=api_retry.Retry(timeout=60)
        )
        if found.done:
            return found
        now = time.monotonic()
        if now - told >= TELL_SECONDS:
            told = now
            minutes, seconds = divmod(int(now - began), 60)
            say(f"Vertex AI: {what}; van {minutes} min {seconds} s")
        raise _UnderWayError

    def under_way(error: Exception) -> bool:
        return isinstance(error, _UnderWayError)

    try:
        return retry.again(
            ask, under_way, patience.total_seconds(), pause=POLL_SECONDS, longest=SLOW_SECONDS
        )
    except _UnderWayError:
        raise ServiceError(
            f"Vertex AI no ha terminado de {what} en {format_duration(patience)} "
            "(«deploy_timeout»), y sigue con ello. Repite la orden más tarde: espera a lo que está "
            "en marcha y continúa desde ahí."
        ) from None


def finish(
    client: Any, future: Any, step: Step, of: str, patience: timedelta, say: Progress
) -> None:
    """Wait for what a call of Google's client has begun.

    Args:
        client: that client.
        future: what its call returned.
        step: as in `ended`, and so the others.
        of: likewise.
        patience: likewise.
        say: likewise.

    Raises:
        ServiceError: it failed, or goes on for longer than that.
        google.api_core.exceptions.GoogleAPICallError: Vertex AI refuses or does not answer.
    """
    operation = future.operation
    if not operation.done:
        operation = ended(client, operation.name, step, of, patience, say)
    if operation.HasField("error"):
        what = _WORDS[step].format(of)
        raise ServiceError(f"Vertex AI no pudo {what}: {operation.error.message}")
