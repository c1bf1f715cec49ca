"""Days and weeks of charts, and the windows that they must be.

A row of a chart counts a whole day or a whole week, which cannot be divided after the fact: it has
the time of its first day, and the windows must be those days or weeks. Taking the last day of a
week for the first would make every label know six days of the future.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from ...config.durations import format_duration
from ...config.errors import ParamsError
from ...domain.windows import Windowing
from ..countries import FileName, Period

WEEK = timedelta(days=7)
DAY = timedelta(days=1)
PERIODS: dict[Period | None, str] = {"weekly": "semanal", "daily": "diaria", None: "una fecha"}
_WEEKDAYS = ("lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo")
_ADVICE = "--params charts, si son semanales, o --params charts_daily, si son diarias"

Named = Literal["first", "last"]
"""Which day of the week names it in a column of dates."""


@dataclass
class Calendar:
    """The days of some chart files.

    Args:
        windowing: the windows; None where nothing is to be published.
        named: which day of a week the columns of dates say.

    Raises:
        ParamsError: the windows are neither days nor weeks.
    """

    windowing: Windowing | None
    named: Named
    _undecided: dict[str, tuple[str, dict[date, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.windowing is not None and self.windowing.length not in (DAY, WEEK):
            raise ParamsError(
                "Las listas traen días o semanas enteros y window = "
                f"{format_duration(self.windowing.length)}: usa {_ADVICE}."
            )

    def first_day(self, name: FileName, by_name: bool) -> timedelta:
        """Return what leads from a date as it is written to the first day that a row counts.

        Args:
            name: what the file's name says.
            by_name: the date is the name's, and not a column's.
        """
        weekly = name.period == "weekly" or (
            name.period is None and self.windowing is not None and self.windowing.length == WEEK
        )
        if not weekly:
            return timedelta(0)
        # Of charts.spotify.com the name says the last day; of the old site both ends.
        last = len(name.dates) == 1 if by_name else self.named == "last"
        return DAY - WEEK if last else timedelta(0)

    def check(
        self, file: str, days: Mapping[date, int], name: FileName, country: str | None
    ) -> Period | None:
        """Assure that a file's days are those of the windows, and return whether it has weeks.

        Args:
            file: its name, for messages.
            days: the first days of its rows, as taken, each with a line where it stands.
            name: what the file's name says.
            country: of the file, if it is of one.

        Raises:
            ParamsError: they are not.
        """
        period = name.period or period_of(days)
        if self.windowing is None or not days:
            return period
        if period is None:  # one day says nothing: what the others say with it may
            file, days = self._with_others(file, days, country)
            self._match(file, days, period_of(days))
            return "weekly" if self.windowing.length == WEEK else "daily"
        self._match(file, days, period)
        return period

    def _with_others(
        self, file: str, days: Mapping[date, int], country: str | None
    ) -> tuple[str, dict[date, int]]:
        _, known = self._undecided.setdefault(country or "", (file, {}))
        known.update(days)
        return file, known

    def _match(self, file: str, days: Mapping[date, int], period: Period | None) -> None:
        assert self.windowing is not None
        weekly = self.windowing.length == WEEK
        if period == "daily" and weekly:
            raise ParamsError(
                f"{file}: es una lista diaria ({_extent(days)}) y las ventanas son de una semana: "
                "usa --params charts_daily."
            )
        if period == "weekly" and not weekly:
            raise ParamsError(
                f"{file}: es una lista semanal ({_extent(days)}) y las ventanas son de un día: "
                "usa --params charts."
            )
        wrong = [day for day in days if self._start(day) != day]
        if wrong:
            raise ParamsError(self._misplaced(file, wrong[0], days))

    def _start(self, day: date) -> date:
        assert self.windowing is not None
        return self.windowing.start(datetime(day.year, day.month, day.day, tzinfo=UTC)).date()

    def _misplaced(self, file: str, day: date, days: Mapping[date, int]) -> str:
        start = self._start(day)
        place = f"{file}, línea {days[day]}" if days[day] else file
        last = day - start == WEEK - DAY
        if last and self.named == "first":
            return (
                f"{place}: {day} es {_weekday(day)}, el ÚLTIMO día de una semana de las ventanas, "
                f"que empieza en {_weekday(start)} ({start}). Si las fechas de la lista son el "
                "último día de cada semana, como en charts.spotify.com, di «--set "
                "chart_dates=last»; window_offset no se cambia."
            )
        return (
            f"{place}: la semana empieza en {_weekday(day)} ({day}) y las ventanas en "
            f"{_weekday(start)}: cambia window_offset."
        )


def period_of(days: Mapping[date, int]) -> Period | None:
    """Return whether days are of a daily or a weekly chart; None where they do not say."""
    if len(days) < 2:
        return None
    most = Counter(day.weekday() for day in days).most_common(1)[0][1]
    if most == len(days) or (most > len(days) / 2 and len(days) > 2):
        return "weekly"  # but for a day or two, which are wrong
    return "daily" if any(day + DAY in days for day in days) else None


def _weekday(day: date) -> str:
    return _WEEKDAYS[day.weekday()]


def _extent(days: Mapping[date, int]) -> str:
    first, last = min(days), max(days)
    return str(first) if first == last else f"{first} a {last}"
