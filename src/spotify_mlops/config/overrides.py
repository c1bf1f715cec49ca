"""Parameters said as ``NAME=VALUE``, by ``--set`` and, with several values, ``--param-grid``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from . import params
from .errors import ParamsError


def overrides(pairs: Iterable[str]) -> dict[str, Any]:
    """Return the values by name, as `params.load` takes them.

    Raises:
        ParamsError: a pair is not one, names no parameter, or has a value that is not YAML.
    """
    return {
        name: params.parse_value(f"--set {name}", text) for name, text in _named(pairs, "--set")
    }


def value_lists(pairs: Iterable[str]) -> dict[str, list[Any]]:
    """Return several values by name, from ``NAME=V1,V2``.

    Raises:
        ParamsError: a pair is not one, names no parameter, or has values that are not YAML.
    """
    option = "--param-grid"
    return {
        name: list(params.parse_value(f"{option} {name}", f"[{text}]"))
        for name, text in _named(pairs, option)
    }


def _named(pairs: Iterable[str], option: str) -> Iterator[tuple[str, str]]:
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:  # what is written may be a password: it is not repeated
            raise ParamsError(f"«{option}»: se espera NOMBRE=VALOR.")
        if name not in params.names():
            raise ParamsError(f"«{option}»: {params.unknown(name)}.")
        yield name, text
