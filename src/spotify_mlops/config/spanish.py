"""Numbers, dates and names as a Spanish reader expects them."""

from __future__ import annotations

import math
from datetime import timedelta

THOUSANDS = "."
DECIMALS = ","
_SEPARATORS = str.maketrans({",": THOUSANDS, ".": DECIMALS})
MINUS = "\u2212"
NO_VALUE = "\u2013"


def number(value: float | None, decimals: int = 0, *, trim: bool = False) -> str:
    """Write a number: ``1234567.5`` with one decimal -> ``1.234.567,5``; no value -> a dash.

    Args:
        value: the number.
        decimals: how many.
        trim: leave out those that are zeros at its end.
    """
    if value is None or math.isnan(value):
        return NO_VALUE
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    text = f"{value:,.{decimals}f}"
    if trim and decimals:
        text = text.rstrip("0").rstrip(".")
    return text.replace("-", MINUS).translate(_SEPARATORS)


def exact(value: float) -> str:
    """Write a number with the decimals that it has, six at most: ``90.0`` -> ``90``."""
    return number(value, 6, trim=True)


def percent(share: float | None, decimals: int = 1) -> str:
    """Write a share as a percentage: ``0.123`` -> ``12,3 %``."""
    if share is None or math.isnan(share):
        return NO_VALUE
    return f"{number(100 * share, decimals)}\u00a0%"


def duration(value: timedelta) -> str:
    """Write a length of time in its largest whole unit: 7 days -> ``1 semana``."""
    seconds = value.total_seconds()
    for size, one, many in (
        (604_800, "semana", "semanas"),
        (86_400, "día", "días"),
        (3_600, "hora", "horas"),
        (60, "minuto", "minutos"),
    ):
        if seconds >= size and seconds % size == 0:
            count = int(seconds // size)
            return f"{number(count)} {one if count == 1 else many}"
    return f"{number(seconds, 1, trim=True)} s"


def about(seconds: float, decimals: int = 0) -> str:
    """Write a length of time short: 5400 -> ``1,5 h``, 42 -> ``42 s``.

    Args:
        seconds: the length.
        decimals: of less than ten seconds.
    """
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{number(seconds / size, 1)}\u00a0{unit}"
    return f"{number(seconds, decimals if seconds < 10 else 0)}\u00a0s"
