"""What a panel is: a question, and the SQL that answers it.

The SQL has placeholders, for a reader that fills them in by its own means:

- ``{dataset}``: the dataset.
- ``{start}``, ``{end}``: timestamps; the range of windows (event time).
- ``{since}``, ``{until}``: timestamps; the range of the wall clock.
- ``{countries}``, ``{levels}``, ``{models}``: what may stand after ``IN``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Board = Literal["business", "operations"]
Kind = Literal["stat", "line", "stacked", "bars", "table"]
Unit = Literal["count", "share", "score", "per_minute", "seconds", "usd", "times"]
Status = Literal["good", "warning", "critical"]
PLACEHOLDERS = (
    "dataset",
    "start",
    "end",
    "since",
    "until",
    "countries",
    "levels",
    "models",
)
COLUMNS: Mapping[Kind, tuple[str, ...]] = {
    "stat": ("series", "value"),
    "line": ("time", "series", "value"),
    "stacked": ("time", "series", "value"),
    "bars": ("category", "series", "value"),
    "table": (),
}
"""The columns that the SQL of a kind returns, at least. A ``stat`` may have ``detail`` (a text);
``bars`` may have ``low`` and ``high``. A table shows its columns as they are named, in Spanish."""
_PLACEHOLDER = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")
_TABLE = re.compile(r"\{dataset\}\.(\w+)")


@dataclass(frozen=True)
class Threshold:
    """From ``value`` on, the panel's value is of this status."""

    value: float
    status: Status


@dataclass(frozen=True)
class Panel:
    """One panel."""

    name: str
    """Its own among all panels: lower-case words joined by underscores."""
    board: Board
    title: str
    question: str
    """That it answers; in Spanish, as is the title."""
    kind: Kind
    sql: str
    unit: Unit = "count"
    width: int = 6
    """Of twelve columns."""
    base: Status = "good"
    """The status of a value below all thresholds."""
    thresholds: tuple[Threshold, ...] = ()
    """By rising value."""
    colors: Mapping[str, str] = field(default_factory=dict)
    """Fixed colours of series."""
    units: Mapping[str, Unit] = field(default_factory=dict)
    """Of a table's number columns; of a stat's series where they differ from ``unit``."""
    empty: str = "Todavía no hay datos en este intervalo."
    """What is said when there is no row."""

    @property
    def tables(self) -> frozenset[str]:
        """Return the names of the tables and views that the SQL reads."""
        return frozenset(_TABLE.findall(self.sql))

    @property
    def placeholders(self) -> frozenset[str]:
        """Return the names of the placeholders that the SQL has."""
        return frozenset(_PLACEHOLDER.findall(self.sql))

    @property
    def critical(self) -> float | None:
        """Return from which value on something is wrong; None where no value says so."""
        return next((t.value for t in self.thresholds if t.status == "critical"), None)

    def status(self, value: float) -> Status | None:
        """Return the status of a value; None where the panel has no thresholds."""
        if not self.thresholds:
            return None
        found = self.base
        for threshold in self.thresholds:
            if value >= threshold.value:
                found = threshold.status
        return found


def fill(sql: str, values: Mapping[str, str]) -> str:
    """Return SQL with each placeholder replaced.

    Raises:
        KeyError: the SQL has a placeholder without a value.
    """
    return _PLACEHOLDER.sub(lambda found: values[found[1]], sql)
