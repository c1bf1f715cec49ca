"""How many requests a minute may have."""

from __future__ import annotations

from collections import deque

from ...config.progress import Progress, silent
from .clock import Clock

_MINUTE = 60.0


class Budget:
    """So many requests in any sixty seconds, attempts that fail included."""

    def __init__(self, per_minute: int, clock: Clock, say: Progress = silent) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._say = say
        self._taken: deque[float] = deque()
        self.total = 0

    def take(self) -> None:
        """Wait until one more may be sent.

        Raises:
            StoppedError: it was asked to end.
        """
        self._forget()
        if len(self._taken) >= self._per_minute:
            left = self._taken[0] + _MINUTE - self._clock.monotonic()
            self._clock.pause(left, self._say, "Presupuesto de peticiones por minuto agotado")
            self._forget()
        self._taken.append(self._clock.monotonic())
        self.total += 1

    def _forget(self) -> None:
        now = self._clock.monotonic()
        # What leaves when its minute is over may, by a rounding, be over a moment later.
        while self._taken and self._taken[0] + _MINUTE <= now + 1e-3:
            self._taken.popleft()
