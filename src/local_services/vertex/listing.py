"""Filters, order and pages of the list calls."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ..google_api.errors import ApiError

PAGE = 100
_TERM = re.compile(
    r"""(?P<field>[A-Za-z_]+)
        (?:\.(?P<key>"[^"]*"|[^\s=:!]+))?
        (?:\s*(?P<operator>!=|=|:)\s*(?P<value>"(?:[^"\\]|\\.)*"|'[^']*'|[^\s"']+))?
        (?P<next>\s+AND(?:\s+|$))?""",
    re.VERBOSE,
)
Fields = Mapping[str, Callable[[Any], str]]
"""How a filter reads each field that it may name."""


def listed(
    items: list[Any], request: Any, fields: Fields, order: str = "", *, labelled: bool = True
) -> tuple[list[Any], str]:
    """Return the page that a list call asks for, and the token of the next; empty at the end.

    Args:
        items: all that there are.
        request: its filter, order and page.
        fields: what the filter may name.
        order: of a request that asks for none.
        labelled: the items have labels.

    Raises:
        ApiError: filter, order, size or token are not valid.
    """
    items = _select(items, request.filter, fields, labelled)
    items = _order(items, getattr(request, "order_by", "") or order)
    return _page(items, request.page_size, request.page_token)


def _select(items: list[Any], text: str, fields: Fields, labelled: bool) -> list[Any]:
    """Return the items for which every term of a filter holds.

    Terms are joined by AND: ``display_name="x"``, ``labels.key=value``, ``labels.key:*``,
    ``labels.key`` (it is there), and ``!=``. Names may be written in camel case.
    """
    rest = text.strip()
    while rest:
        match = _TERM.match(rest)
        if match is None or (match["next"] is None and match.end() < len(rest)):
            raise _refused(text, f"no se entiende «{rest}»")
        holds = _predicate(match, text, fields, labelled)
        items = [item for item in items if holds(item)]
        rest = rest[match.end() :]
        if match["next"] and not rest:
            raise _refused(text, "falta un término después de AND")
    return items


def _predicate(
    match: re.Match[str], text: str, fields: Fields, labelled: bool
) -> Callable[[Any], bool]:
    name = re.sub(r"(?<!^)([A-Z])", r"_\1", match["field"]).lower()
    operator, value = match["operator"], _unquoted(match["value"] or "")
    if name == "labels" and match["key"] and labelled:
        key = _unquoted(match["key"])
        if operator is None or (operator == ":" and value == "*"):
            return lambda item: key in item.labels
        if operator == "!=":
            return lambda item: item.labels.get(key) != value
        return lambda item: item.labels.get(key) == value
    if match["key"] or name not in fields or operator not in ("=", "!="):
        known = [*(["labels.CLAVE"] if labelled else []), *sorted(fields)]
        raise _refused(text, f"se puede filtrar por {', '.join(known)}")
    read = fields[name]
    return lambda item: (read(item) == value) == (operator == "=")


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text


def _refused(text: str, why: str) -> ApiError:
    return ApiError.invalid("filter", f"«filter» = «{text}»: {why}.")


def _order(items: list[Any], text: str) -> list[Any]:
    keys: dict[str, Callable[[Any], Any]] = {
        "display_name": lambda item: item.display_name,
        "create_time": lambda item: item.create_time.ToNanoseconds(),
        "update_time": lambda item: item.update_time.ToNanoseconds(),
    }
    for part in reversed([part.split() for part in text.split(",") if part.strip()]):
        name = re.sub(r"(?<!^)([A-Z])", r"_\1", part[0]).lower()
        if name not in keys or part[1:] not in ([], ["desc"], ["asc"]):
            raise ApiError.invalid("order_by", f"«order_by» = «{text}»: usa {', '.join(keys)}.")
        items = sorted(items, key=keys[name], reverse=part[1:] == ["desc"])
    return items


def _page(items: list[Any], size: int, token: str) -> tuple[list[Any], str]:
    if size < 0:
        raise ApiError.invalid("page_size", "«page_size» no puede ser negativo.")
    if token and not token.isdecimal():
        raise ApiError.invalid("page_token", f"«page_token» = «{token}» no es de esta lista.")
    start = int(token or 0)
    end = start + (size or PAGE)
    return items[start:end], str(end) if end < len(items) else ""
