"""Numbers, dates and lists as a Spanish reader expects them.

What the floors below write in their errors is in `spotify_mlops.config.spanish`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import date, datetime

from ...config.spanish import number

WEEKDAYS = ("lun", "mar", "mié", "jue", "vie", "sáb", "dom")
MONTHS = ("ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic")


def compact(value: float) -> str:
    """Write a large number short, for axes: 1500000 -> ``1,5 M``, 20000 -> ``20 mil``."""
    for size, unit in ((1e9, "mil M"), (1e6, "M"), (1e3, "mil")):
        if abs(value) >= size:
            return f"{number(value / size, 1, trim=True)} {unit}"
    return number(value, 0 if value == round(value) else 2)


def interval(value: float | None, low: float | None, high: float | None, decimals: int = 3) -> str:
    """Write an estimate with its interval: ``0,742 [0,731; 0,752]``."""
    text = number(value, decimals)
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return text
    return f"{text} [{number(low, decimals)}; {number(high, decimals)}]"


def day(value: date | datetime) -> str:
    """Write a day: ``5 ene 2026``."""
    return f"{value.day} {MONTHS[value.month - 1]} {value.year}"


def short_days(times: Sequence[date | datetime]) -> list[str]:
    """Write days under an axis: ``5 ene``, with their year where they span half of one."""
    long = (max(times) - min(times)).days > 182
    return [day(time) if long else day(time).rpartition(" ")[0] for time in times]


def moment(value: datetime) -> str:
    """Write a day and hour: ``5 ene 2026, 14:00``."""
    return f"{day(value)}, {value:%H:%M}"


def join(words: Iterable[str]) -> str:
    """Join words as a sentence does: ``a, b y c`` (``e`` before the sound i)."""
    items = list(words)
    if len(items) < 2:
        return "".join(items)
    last = items[-1]
    bare = last.lstrip("*_«`").lower()
    conjunction = "e" if bare.startswith(("i", "í", "hi")) and not bare.startswith("hie") else "y"
    return f"{', '.join(items[:-1])} {conjunction} {last}"


def plural(count: int, one: str, many: str) -> str:
    """Write a count with its noun: ``1 fila``, ``2 filas``."""
    return f"{number(count)} {one if count == 1 else many}"
