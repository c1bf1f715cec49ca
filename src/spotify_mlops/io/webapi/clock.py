"""Time, as whoever asks the API sees it: the machine's, unless somebody brings another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ...config.progress import Progress
from ...config.spanish import number

_TOLD_EVERY = 30.0


class StoppedError(Exception):
    """Whoever runs this asked it to end."""


def _now() -> datetime:
    return datetime.now(UTC)


def _wait(seconds: float) -> bool:
    return threading.Event().wait(seconds)


@dataclass(frozen=True)
class Clock:
    """Tells the time and lets it pass."""

    now: Callable[[], datetime] = field(default=_now)
    monotonic: Callable[[], float] = field(default=time.monotonic)
    wait: Callable[[float], bool] = field(default=_wait)
    """Waits so many seconds; true when it was asked to end meanwhile."""

    def pause(self, seconds: float, say: Progress, reason: str) -> None:
        """Wait, and say why and how long is left (Spanish).

        Raises:
            StoppedError: it was asked to end.
        """
        left = seconds
        while left > 0:
            say(f"{reason}: faltan {number(left, 0 if left >= 1 else 1)} s")
            step = min(left, _TOLD_EVERY)
            if self.wait(step):
                raise StoppedError
            left -= step
