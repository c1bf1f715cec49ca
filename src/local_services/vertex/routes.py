"""Which call a method and a path mean, and how its request is made of them.

The templates are those of Google's own REST transports (``google.api.http`` annotations).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from . import messages

Handler = Callable[[Any], Awaitable[Message]]


@dataclass(frozen=True)
class Reply:
    """An HTTP answer."""

    status: int
    content_type: str
    body: bytes
    headers: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class BareRoute:
    """One call whose body is passed on as it comes, unread."""

    rpc: str
    method: str
    template: str
    handler: Callable[[Mapping[str, str], Mapping[str, str], bytes], Awaitable[Reply]]
    """Gets the path's fields, the headers (names in lower case) and the body."""


@dataclass(frozen=True)
class Route:
    """One call of the API."""

    rpc: str
    method: str
    template: str
    request: type[Message]
    handler: Handler
    body: str = ""
    """``*`` for the whole request, a field's name, or empty."""

    def parse(self, names: Mapping[str, str], query: Mapping[str, str], body: Any) -> Message:
        """Return the request.

        Raises:
            ApiError: a field is unknown or of the wrong type.
        """
        content: dict[str, Any] = dict(query)
        if self.body == "*":
            content |= body
        elif self.body:
            content[self.body] = body
        request = self.request()
        messages.parse(request, content)
        for path, value in names.items():
            *outer, field = path.split(".")
            target = request
            for name in outer:
                target = getattr(target, name)
            setattr(target, field, value)
        return request


class Router:
    """Finds the route of a request."""

    def __init__(self, routes: Sequence[Route | BareRoute]) -> None:
        """Compile the templates."""
        self._routes = [(route, *_compiled(route.template)) for route in routes]

    def find(self, method: str, path: str) -> tuple[Route | BareRoute, dict[str, str]] | None:
        """Return the route and the fields that the path fills; None when no route fits."""
        for route, pattern, fields in self._routes:
            if route.method == method and (match := pattern.fullmatch(path)):
                return route, dict(zip(fields, match.groups(), strict=True))
        return None


def _compiled(template: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    """Return a template as a pattern, and the fields that its groups fill."""
    fields = []
    pattern = ""
    for part in re.split(r"(\{[^}]*\})", template):
        if part.startswith("{"):
            name, _, shape = part[1:-1].partition("=")
            fields.append(name)
            pattern += "(" + re.escape(shape).replace(r"\*", "[^/:]+") + ")"
        else:
            pattern += re.escape(part)
    return re.compile(pattern), tuple(fields)
