"""From a notebook's parameters cell to typed params."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...config import params as declared
from ...config.params import Params


def parameters(namespace: Mapping[str, Any]) -> Params:
    """Return the params that a notebook's variables say.

    Args:
        namespace: the notebook's ``globals()``. ``profile`` names the params file; any other
            declared name that is there and not None overrides what the file says. Call it right
            after the parameters cell, before other variables appear.

    Raises:
        ParamsError: the file is missing or a value does not fit.
    """
    overrides = {
        name: namespace[name]
        for name in declared.names() - {"profile"}
        if namespace.get(name) is not None
    }
    return declared.load(namespace.get("profile", "local"), **overrides)
