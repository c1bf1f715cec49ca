"""Whether the services that a piece of work needs answer, asked before it begins."""

from __future__ import annotations

from ..config.params import Params
from . import bigquery, kafka, mongo, vertex

_PINGS = {
    "kafka": kafka.ping,
    "bigquery": bigquery.ping,
    "mongo": mongo.ping,
    "vertex": vertex.ping,
}


def require(params: Params, *services: str) -> None:
    """Check that services answer now.

    Args:
        params: where they are.
        services: any of ``kafka``, ``bigquery``, ``mongo`` (default: these) and ``vertex``.

    Raises:
        ServiceError: one does not; the message names it and its address.
    """
    for service in services or ("kafka", "bigquery", "mongo"):
        _PINGS[service](params)
