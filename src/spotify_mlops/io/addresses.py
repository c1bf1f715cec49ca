"""Where a service is, and what one of this machine is sent: its key, and never over TLS.

An endpoint parameter is ``local`` (what ``up`` started), an address, or ``default`` (the client
library's own: the cloud). The key of what ``up`` started goes to no other address.
"""

from __future__ import annotations

from typing import Any

from ..config.errors import ServiceError, one_line
from ..config.references import LOCAL
from .http import peers
from .local import secret, state

DEFAULT = "default"
PING_SECONDS = 5.0


def address(value: str, service: str, name: str) -> str:
    """Return an endpoint parameter's value, read from the state file when it is ``local``.

    Raises:
        ServiceError: it is ``local`` and that service is not up.
    """
    if value != LOCAL:
        return value
    record = state.get(service)
    if record is None or record.pid is None or name not in record.addresses:
        raise ServiceError(
            f"El servicio local «{service}» no está en marcha: ejecuta «spotify-mlops up»."
        )
    return record.addresses[name]


def key(value: str, service: str) -> str | None:
    """Return the key of a service when an endpoint parameter means the local one."""
    return secret.key(service) if value == LOCAL else None


def is_plain(value: str) -> bool:
    """Tell whether an address is a plain-text one of this machine."""
    host = value.removeprefix("http://").partition(":")[0]
    return not value.startswith("https://") and host in ("127.0.0.1", "localhost")


def own_credentials(where: str, key: str | None) -> Any:
    """Return credentials for a plain-text server of this machine, with its key if it has one.

    Raises:
        ServiceError: there is a key, and another user's server at that address.
    """
    if key is None:
        from google.auth.credentials import AnonymousCredentials

        return AnonymousCredentials()
    from .http.bearer import KeyCredentials

    check_way(where)
    return KeyCredentials(key)


def check_way(where: str) -> None:
    """Refuse to send a key where somebody else would get it.

    Raises:
        ServiceError: another user's server is there, or a proxy is between.
    """
    import urllib.request

    check_server(where, "ninguna clave")
    host = where.removeprefix("http://").partition(":")[0]
    proxied = {"http", "all"} & urllib.request.getproxies().keys()
    if proxied and not urllib.request.proxy_bypass(host):
        raise ServiceError(f"Lo que va a {where} pasaría por un proxy: añade {host} a no_proxy.")


def check_server(where: str, what: str) -> None:
    """Refuse to send something to a server of this machine that is another user's.

    Args:
        where: its address, which ends with the port.
        what: is not sent then (Spanish): ``ninguna clave``.

    Raises:
        ServiceError: it is.
    """
    if not peers.is_owners_server(int(where.rpartition(":")[2])):
        raise ServiceError(
            f"En {where} escucha un servidor de otro usuario: no se le envía {what}. "
            "Mira «spotify-mlops status»."
        )


def unreachable(title: str, where: str, error: Exception) -> ServiceError:
    """Return what to raise where a service does not answer."""
    # An address may hold a password before its @.
    shown = where.rpartition("@")[2]
    reason = one_line(error, 160)
    return ServiceError(
        f"{title} no responde en {shown} ({reason}). "
        "En local: mira «spotify-mlops status» y ejecuta «spotify-mlops up»."
    )
