"""What decides the tables, and the key of their rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

KEY = ["window_start", "country", "track_id"]


@dataclass(frozen=True)
class Rules:
    """The parameters that decide what the tables hold."""

    window: timedelta = timedelta(minutes=10)
    window_offset: timedelta = timedelta(0)
    lateness: timedelta = timedelta(minutes=2)
    lags: tuple[int, ...] = (1, 2, 6)
    countries: tuple[str, ...] = ("US", "BR", "CO")
    """Of the model; not those that it has without being told."""
    target: str = "plays"
    horizon: int = 2
    alta: float = 70
    media: float = 40
    clock_skew: timedelta = timedelta(days=1)
