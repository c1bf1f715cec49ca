"""What is wrong with params, in Spanish, without showing what may be a password."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from .references import UndisclosedError
from .spanish import exact

_NAME = re.compile(r"[\w.-]{1,60}")
_MESSAGES = {
    "bool": "debe ser true o false",
    "date": "debe ser una fecha como 2026-01-05",
    "float": "debe ser un número",
    "int": "debe ser un número entero",
    "list": "debe ser una lista, como [1, 2, 3]",
    "string": "debe ser un texto (entre comillas si parece un número)",
    "greater_than": "debe ser mayor que {gt}",
    "greater_than_equal": "debe ser {ge} o más",
    "less_than": "debe ser menor que {lt}",
    "less_than_equal": "debe ser {le} o menos",
    "literal_error": "debe ser {expected}",
    "string_pattern_mismatch": "no tiene la forma {pattern}",
    "string_too_short": "no puede estar vacío",
    "too_short": "no puede estar vacía",
}
"""What is wrong, by Pydantic's error type or by the part of it before the first ``_``."""


def unknown_name(name: object, known: Iterable[str]) -> str:
    """Return the words for a name that is none of ``known``, with the nearest one."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return "un nombre que no es de ningún parámetro"
    close = difflib.get_close_matches(name, sorted(known), 1)
    hint = f" (¿«{close[0]}»?)" if close else ""
    return f"parámetro desconocido «{name}»{hint}"


def explain(error: ValidationError, flat: Mapping[tuple[str, ...], str]) -> str:
    """Return all problems in one line.

    Args:
        error: of a model with sections.
        flat: the flat name of each parameter by its place.
    """
    problems = []
    for item in error.errors():
        name = _name(item["loc"], flat)
        if item["type"] == "extra_forbidden":
            problems.append(unknown_name(item["loc"][-1], flat.values()))
        elif item["type"] == "missing":
            problems.append(f"falta «{name}»")
        elif name and isinstance(item.get("ctx", {}).get("error"), UndisclosedError):
            problems.append(f"«{name}» {_message(item)}")
        elif name:
            problems.append(f"«{name}» = {_shown(item['input'])}: {_message(item)}")
        else:
            problems.append(_message(item))
    return "; ".join(problems) + "."


def _name(place: tuple[int | str, ...], flat: Mapping[tuple[str, ...], str]) -> str:
    """Return the flat name of the parameter at a place, and what follows in it (``lags.0``)."""
    parts = tuple(str(part) for part in place)
    for size in (2, 1):
        if parts[:size] in flat:
            return ".".join((flat[parts[:size]], *parts[size:]))
    return ""


def _message(item: ErrorDetails) -> str:
    """Return the Spanish text of one of Pydantic's errors."""
    kind, context = item["type"], item.get("ctx", {})
    if kind == "value_error":  # raised in this folder, in Spanish
        return item["msg"].removeprefix("Value error, ")
    text = _MESSAGES.get(kind) or _MESSAGES.get(kind.partition("_")[0], "valor no admitido")
    if kind == "literal_error":
        context = context | {"expected": context["expected"].replace(" or ", " o ")}
    return text.format(
        **{k: exact(v) if isinstance(v, int | float) else v for k, v in context.items()}
    )


def _shown(value: object) -> str:
    try:
        text = "vacío" if value is None else repr(value)
    except ValueError:  # Python writes no number with thousands of digits
        text = "un número enorme"
    return text if len(text) <= 60 else text[:60] + "…"
