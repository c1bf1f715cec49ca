"""How long work says how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]
"""Receives short Spanish messages."""


def silent(message: str) -> None:
    """Say nothing."""
