"""Whose a socket on loopback is: the user that the kernel says opened it.

For servers whose clients cannot send a key (a browser, Beam's own workers), and for clients that
are about to send one. Where there is no ``/proc`` (macOS) nothing is known, and every local user
counts as the owner.
"""

from __future__ import annotations

import ipaddress
import os
import struct
from pathlib import Path

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENING = "0A"


def is_owner(client: tuple[str, int], server: tuple[str, int]) -> bool:
    """Tell whether the process behind ``client`` is run by this user, or by root.

    Args:
        client: address and port of the other end, as ``getpeername`` returns them.
        server: those of this end, as ``getsockname`` returns them.
    """
    if not _TABLES[0].exists():
        return True
    # A table that changes while it is read may hide a line once.
    return any(_user(client, server) in (os.geteuid(), 0) for _ in range(2))


def is_owners_server(port: int) -> bool:
    """Tell whether nobody but this user, or root, listens on a port of loopback.

    Where nobody listens it is so too. For clients about to send a key: a port may have been taken
    by somebody else since the server ended.
    """
    if not _TABLES[0].exists():
        return True
    return _listeners(port) <= {os.geteuid(), 0}


def _listeners(port: int) -> set[int]:
    """Return the users of the sockets that listen on a port, on whichever address."""
    return {
        int(fields[7])
        for table in _TABLES
        if table.exists()
        for fields in map(str.split, table.read_text().splitlines()[1:])
        if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port
    }


def _user(client: tuple[str, int], server: tuple[str, int]) -> int | None:
    """Return the user of the socket from ``client`` to ``server``; None when there is none.

    One that its process has closed belongs to nobody (inode 0), whatever user the table says: that
    may be root's number, and what came over it before it was closed is still to be read.

    Source of the format: Linux, Documentation/networking/proc_net_tcp.rst.
    """
    wanted = {(_written(client, mapped), _written(server, mapped)) for mapped in (False, True)}
    for table in _TABLES:
        if not table.exists():  # no IPv6
            continue
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            if (fields[1], fields[2]) in wanted:
                return int(fields[7]) if fields[9] != "0" else None
    return None


def _written(address: tuple[str, int], mapped: bool) -> str:
    """Write an address as the kernel's tables do, an IPv4 one as IPv6 when it is ``mapped``."""
    host = ipaddress.ip_address(address[0])
    if isinstance(host, ipaddress.IPv6Address) and host.ipv4_mapped:
        host = host.ipv4_mapped
    if mapped and isinstance(host, ipaddress.IPv4Address):
        host = ipaddress.ip_address(f"::ffff:{host}")
    words = struct.unpack(f"={len(host.packed) // 4}I", host.packed)
    return "".join(f"{word:08X}" for word in words) + f":{address[1]:04X}"
