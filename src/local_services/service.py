"""What is known of one server of this machine before it runs."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from spotify_mlops.config.progress import Progress
from spotify_mlops.io.http import ports

_PATIENCE = 2.0


@dataclass(frozen=True)
class Service:
    """How one server is started and asked."""

    name: str
    title: str
    ports: tuple[str, ...]
    command: Callable[[Mapping[str, int], Progress], tuple[list[str], dict[str, str]]]
    is_ready: Callable[[Mapping[str, int]], bool]
    addresses: Callable[[Mapping[str, int]], dict[str, str]]
    after: tuple[str, ...] = ()
    """The names of those that must run before: this one is told where they are, and begins again
    when they do."""
    keeps_ports: bool = True
    """Whether it begins again where it was. One whom others still call where it was must not: they
    would come between its own first call and its answer."""


def answers(port: int, path: str, headers: Mapping[str, str] | None = None) -> bool:
    """Tell whether an HTTP server of this machine answers a path with 200."""
    if not ports.listens(port):
        return False
    connection = http.client.HTTPConnection(ports.HOST, port, timeout=_PATIENCE)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
