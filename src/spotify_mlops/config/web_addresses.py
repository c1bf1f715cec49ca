"""Addresses of the Web that parameters hold: of an API, and of what it names."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

_PLAYLIST = re.compile(r"(?:.*\bplaylist[:/])?([A-Za-z0-9]{1,64})/?(?:[?#].*)?", re.ASCII)


def is_loopback(host: str | None) -> bool:
    """Tell whether a host is this machine, by name or number.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("127.0.0.1.example.org")
    (True, True, False)
    """
    if host is None:
        return False
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _web_address(value: str) -> str:
    if value == "default":
        return value
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("debe ser default o una dirección como https://servidor:puerto")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("lleva claves: http:// solo dentro de esta máquina; fuera, https://")
    return value.rstrip("/")


def _playlist(value: str) -> str:
    match = _PLAYLIST.fullmatch(value.strip())
    if match is None:
        raise ValueError("debe ser el identificador de una lista, su URI o su dirección")
    return match[1]


WebAddress = Annotated[str, AfterValidator(_web_address)]
"""``default`` (the service's own), or an address: of another machine, only over TLS."""
PlaylistId = Annotated[str, AfterValidator(_playlist)]
"""What names a playlist of Spotify, however it is written; its bare identifier here."""
