"""What the project's HTTP servers refuse because a web page may have sent it.

Any page that is open in a browser of this machine can send requests to loopback, and by DNS
rebinding read the answers as well. What it cannot do is hide where it comes from: a browser writes
``Host``, ``Origin`` and ``Sec-Fetch-*`` itself, and sends a body other than text or a form only
after asking, which no server here allows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

_OURS = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?", re.IGNORECASE)
_JSON = frozenset({"application/json"})
_WITH_BODY = ("POST", "PUT", "PATCH")
_OWN_SITE = (None, "none", "same-origin")
"""``none``: somebody typed the address."""


class Refusal(NamedTuple):
    """Why a request is not answered."""

    status: int
    """Of HTTP: 403, or 415 for its body's type."""
    message: str


@dataclass(frozen=True)
class Rule:
    """Who may ask a server, and with what."""

    page: bool = False
    """It serves a web page: requests of that page itself are welcome, and links to it."""
    uploads: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Types of body that paths with a certain beginning take besides JSON."""

    def refusal(self, method: str, path: str, headers: Mapping[str, str]) -> Refusal | None:
        """Return why a request is refused; None when it is not.

        Args:
            method: in capitals.
            path: without the query.
            headers: names in lower case; the values of one that came twice joined by commas.
        """
        host = headers.get("host", "")
        if not _OURS.fullmatch(host):
            return Refusal(403, f"«{host[:80]}» no es una dirección de esta máquina.")
        if not self._welcomes(method, headers):
            return Refusal(403, "Las páginas web de otros sitios no tienen acceso.")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if method in _WITH_BODY and (kind or _has_body(headers)) and kind not in self._types(path):
            return Refusal(415, f"El cuerpo debe ser application/json, no «{kind[:80]}».")
        return None

    def _welcomes(self, method: str, headers: Mapping[str, str]) -> bool:
        """Tell whether a program sent it, the user, or the server's own page."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if not self.page:
            return origin is None and site in (None, "none")
        if origin is not None and origin.lower() != f"http://{headers['host']}".lower():
            return False
        followed_link = method == "GET" and headers.get("sec-fetch-dest") == "document"
        return site in _OWN_SITE or followed_link

    def _types(self, path: str) -> frozenset[str]:
        for beginning, kinds in self.uploads.items():
            if path.startswith(beginning):
                return _JSON | kinds
        return _JSON


def _has_body(headers: Mapping[str, str]) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
