"""A clock whose hands a test moves: waiting takes no time, and is remembered."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from spotify_mlops.io.webapi import Clock


class Hands:
    """The time of a test.

    Args:
        start: of it.
        until: from which a wait says that it was asked to end.
    """

    def __init__(self, start: datetime, until: datetime | None = None) -> None:
        self.time = start
        self.start = start
        self.until = until
        self.waits: list[float] = []
        self.on_wait: Callable[[], None] | None = None

    def clock(self) -> Clock:
        """Return what the code under test asks."""
        return Clock(
            lambda: self.time, lambda: (self.time - self.start).total_seconds(), self._wait
        )

    def _wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.time += timedelta(seconds=seconds)
        if self.on_wait is not None:
            self.on_wait()
        return self.until is not None and self.time >= self.until
