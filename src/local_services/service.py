"""What is known of one server of this machine before it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from spotify_mlops.config.progress import Progress


@dataclass(frozen=True)
class Service:
    """How one server is started and asked."""

    name: str
    title: str
    ports: tuple[str, ...]
    command: Callable[[Mapping[str, int], Progress], tuple[list[str], dict[str, str]]]
    is_ready: Callable[[Mapping[str, int]], bool]
    addresses: Callable[[Mapping[str, int]], dict[str, str]]
    after: tuple[str, ...] = ()
    """The names of those that must run before: this one is told where they are, and begins again
    when they do."""
