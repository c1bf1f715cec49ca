"""Addresses that parameters hold: of an API and what it names, of services, of brokers.

What leaves this machine goes over TLS.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from .references import LOCAL

_BROKER = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:/@\[\]]+)):(?P<port>[0-9]{1,5})"
)
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


def _service_address(value: str) -> str:
    """Check the address of a service that may be on this machine (``local``)."""
    return value if value == LOCAL else _web_address(value)


def brokers(value: str) -> list[tuple[str, int]]:
    """Return host and port of each broker of a ``kafka_bootstrap`` that is not ``local``.

    >>> brokers("a.example.org:9092,[::1]:9093")
    [('a.example.org', 9092), ('::1', 9093)]

    Raises:
        ValueError: one is not ``host:port``; in Spanish.
    """
    found = []
    for part in value.split(","):
        match = _BROKER.fullmatch(part.strip())
        if match is None or not 0 < int(match["port"]) < 65536:
            raise ValueError("debe ser local o servidor:puerto, separados por comas")
        found.append((match["ipv6"] or match["host"], int(match["port"])))
    return found


def check_way(bootstrap: str, protocol: str, mechanism: str | None) -> None:
    """Refuse to speak to brokers as nobody should: in plain text beyond this machine.

    Raises:
        ValueError: so it would be, or protocol and mechanism do not go together; in Spanish.
    """
    if bootstrap == LOCAL:
        return
    away = [host for host, _ in brokers(bootstrap) if not is_loopback(host)]
    if away and protocol not in ("SSL", "SASL_SSL"):
        raise ValueError(
            f"kafka_bootstrap sale de esta máquina ({away[0]}): kafka_security_protocol debe ser "
            f"SSL o SASL_SSL, y es {protocol}"
        )
    if protocol.startswith("SASL_") != (mechanism is not None):
        raise ValueError(
            f"kafka_security_protocol es {protocol} y kafka_sasl_mechanism "
            f"{mechanism or 'no se dice'}: SASL_* pide uno, y los demás ninguno"
        )


def _bootstrap(value: str) -> str:
    if value != LOCAL:
        brokers(value)
    return value


def _private_range(value: str) -> str:
    try:
        network = ipaddress.IPv4Network(value)
    except ValueError:
        raise ValueError("debe ser una red como 10.20.0.0/20, sin parte de máquina") from None
    if not network.is_private or not 8 <= network.prefixlen <= 29:
        raise ValueError("debe ser una red privada (RFC 1918), de /8 a /29")
    return value


def _playlist(value: str) -> str:
    match = _PLAYLIST.fullmatch(value.strip())
    if match is None:
        raise ValueError("debe ser el identificador de una lista, su URI o su dirección")
    return match[1]


WebAddress = Annotated[str, AfterValidator(_web_address)]
"""``default`` (the service's own), or an address: of another machine, only over TLS."""
ServiceAddress = Annotated[str, AfterValidator(_service_address)]
"""``local`` (what ``up`` started), or a `WebAddress`."""
Bootstrap = Annotated[str, AfterValidator(_bootstrap)]
"""``local``, or the brokers that a client of Kafka asks first."""
PrivateRange = Annotated[str, AfterValidator(_private_range)]
"""The addresses of a private network."""
PlaylistId = Annotated[str, AfterValidator(_playlist)]
"""What names a playlist of Spotify, however it is written; its bare identifier here."""
