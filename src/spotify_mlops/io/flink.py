"""Flink's REST, and what a job of Beam's is told there, whoever sends it."""

from __future__ import annotations

import http.client
import json
import re
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

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

_COUNTER = re.compile(r".*\.(?!ref_)(?P<namespace>[^._/]+)_(?P<name>[^./]+)")
"""A counter of a step's code, after the step's name. Flink's own have no ``_``, and Beam's own, of
which there are many, begin with ``ref_``."""
_END_OF_TIME = 2**63 - 1
"""A watermark after which nothing comes."""


def ask(
    where: str,
    path: str,
    method: str = "GET",
    body: object = None,
    *,
    context: ssl.SSLContext | None = None,
    patience: float = 30.0,
) -> Any:
    """Return what a JobManager's REST answers, read as JSON.

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
        return json.loads(content)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise addresses.unreachable("Flink", where, error) from error


def counters(ask: Callable[[str], Any], job: str) -> dict[tuple[str, str], int]:
    """Return what the steps of a job have counted since Flink last began them.

    Args:
        ask: returns what the JobManager's REST answers to a path.
        job: its id.

    Returns:
        Counts by Beam's namespace, which has neither ``.`` nor ``_``, and name.

    Raises:
        ServiceError: it does not answer.
    """
    found: Counter[tuple[str, str]] = Counter()
    for vertex in ask(f"/jobs/{job}")["vertices"]:
        path = f"/jobs/{job}/vertices/{vertex['id']}/subtasks/metrics"
        own = [m["id"] for m in ask(path) if _COUNTER.fullmatch(m["id"])]
        for metric in ask(f"{path}?agg=sum&get={quote(','.join(own))}") if own else ():
            name = _COUNTER.fullmatch(metric["id"])
            assert name is not None
            found[name["namespace"], name["name"]] += int(metric["sum"])
    return dict(found)


def is_exhausted(ask: Callable[[str], Any], job: str) -> bool:
    """Tell whether all that a job will ever have to do has come to its last steps.

    Args:
        ask: returns what the JobManager's REST answers to a path.
        job: its id.

    Raises:
        ServiceError: it does not answer.
    """
    nodes = ask(f"/jobs/{job}")["plan"].get("nodes")
    if not nodes:  # it has no plan yet: it has only begun
        return False
    followed = {source["id"] for node in nodes for source in node.get("inputs", [])}
    for node in nodes:
        if node["id"] not in followed:
            reached = ask(f"/jobs/{job}/vertices/{node['id']}/watermarks")
            if not reached or any(int(each["value"]) < _END_OF_TIME for each in reached):
                return False
    return True
