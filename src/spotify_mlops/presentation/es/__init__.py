"""Spanish, made here alone: what is below emits codes and numbers.

Numbers and names are imported from this package; sentences from the module of what they tell of.
"""

from ...config.spanish import about, duration, exact, number, percent
from .names import country, model_input
from .numbers import compact, day, interval, join, moment, plural

__all__ = [
    "about", "compact", "country", "day", "duration", "exact", "interval", "join", "model_input",
    "moment", "number", "percent", "plural",
]  # fmt: skip
