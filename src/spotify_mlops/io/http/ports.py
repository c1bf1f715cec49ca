"""Free TCP ports on loopback, outside the range that outgoing connections take theirs from."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable, Mapping

HOST = "127.0.0.1"
PAGE = 8050
"""The live page's, when it is free."""
_RANGE = range(20_000, 32_000)


def is_free(port: int) -> bool:
    """Tell whether nothing listens on the port."""
    with socket.socket() as probe:
        # As servers do: an old connection in TIME_WAIT does not hold a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def listens(port: int) -> bool:
    """Tell whether something accepts connections on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def choose(names: Iterable[str], before: Mapping[str, int]) -> dict[str, int]:
    """Return a free port for each name: the one it had ``before`` when that is free."""
    chosen: dict[str, int] = {}
    for name in names:
        port = before.get(name)
        while port is None or port in chosen.values() or not is_free(port):
            port = random.choice(_RANGE)
        chosen[name] = port
    return chosen


def free(before: int | None = None) -> int:
    """Return a free port: ``before`` when it is still free."""
    return choose(["port"], {} if before is None else {"port": before})["port"]
