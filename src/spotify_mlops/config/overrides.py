"""Parameters said as ``NAME=VALUE``: the ``--set`` of commands and of a training job."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import params
from .errors import ParamsError


def overrides(pairs: Iterable[str]) -> dict[str, Any]:
    """Return the values by name, as `params.load` takes them.

    Raises:
        ParamsError: a pair is not one, names no parameter, or has a value that is not YAML.
    """
    found = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:  # what is written may be a password: it is not repeated
            raise ParamsError("«--set»: se espera NOMBRE=VALOR.")
        if name not in params.names():
            raise ParamsError(f"«--set»: {params.unknown(name)}.")
        found[name] = params.parse_value(f"--set {name}", text)
    return found
