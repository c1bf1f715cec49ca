"""Whether the services that a piece of work needs answer, asked before it begins."""

from __future__ import annotations

from importlib import import_module
from typing import Literal

from ..config.params import Params

Service = Literal["kafka", "bigquery", "mongo", "vertex"]
"""Each is a folder beside this file, with a client that can ``ping``."""


def require(params: Params, *services: Service) -> None:
    """Check that services answer now.

    Args:
        params: where they are.
        services: by default all but ``vertex``.

    Raises:
        ServiceError: one does not; the message names it and its address.
    """
    for service in services or ("kafka", "bigquery", "mongo"):
        # Imported when it is asked: no image has the libraries of all of them.
        import_module(f".{service}.clients", __package__).ping(params)
