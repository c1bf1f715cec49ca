"""What became of each row of each file: an event, or left out for a reason.

``events`` and all of ``left_out`` add up to ``rows``, which are counted where a file is taken
apart. `Account.check` says so before anything is published.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from ..config.spanish import number
from .files import NotRead

EARLIEST = datetime(2002, 1, 1, tzinfo=UTC)
"""Nobody's listens were recorded before (Audioscrobbler began in 2002): an earlier time is of a
clock that was not set, which begins at 1970, 1980, 2000 or 2001."""
_SHOWN = 5
"""Rows of a reason that are named; the others are counted."""

REASONS = {
    "blank": ("fila en blanco", "filas en blanco"),
    "unreadable": ("que no se entiende", "que no se entienden"),
    "viral": ("de listas virales", "de listas virales"),
    "world": ("del mundo entero", "del mundo entero"),
    "other_country": ("de un país que no se ha pedido", "de países que no se han pedido"),
    "unknown_country": ("de un país desconocido", "de países desconocidos"),
    "no_country": ("sin país", "sin país"),
    "no_track": ("sin canción", "sin canción"),
    "podcast": ("pódcast", "pódcasts"),
    "audiobook": ("audiolibro", "audiolibros"),
    "local_file": ("archivo local", "archivos locales"),
    "not_given": ("disco sin canciones", "discos sin canciones"),
    "no_time": ("sin hora", "sin hora"),
    "unset_clock": ("de un reloj sin poner en hora", "de un reloj sin poner en hora"),
    "future": ("con fecha futura", "con fecha futura"),
    "repeated": ("repetida", "repetidas"),
}
"""Why a row is no event: the code that ``--json`` says, and its Spanish for one and for many."""


@dataclass
class FileAccount:
    """The account of one file."""

    name: str
    what: str = ""
    """What it was recognised as (Spanish): ``charts.spotify.com, semanal, CO, 2024-01-04``."""
    rows: int = 0
    events: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    named: dict[str, list[str]] = field(default_factory=dict)
    """By reason, where the first such rows are and what they say."""
    codes: Counter[str] = field(default_factory=Counter)
    """Entries without a country that is one, by what they say instead."""

    def leave_out(self, reason: str, count: int = 1, named: Iterable[str] = ()) -> None:
        """Count rows that are no events, and name some."""
        if count:
            self.left_out[reason] += count
            shown = self.named.setdefault(reason, [])
            for text in named:
                if len(shown) == _SHOWN:
                    break
                shown.append(text)

    def told(self) -> str:
        """Return the account in a line (Spanish)."""
        return told(self.events, self.left_out, self.codes)

    def missing(self) -> int:
        """Return the rows of which nothing is said: none, or the code has a defect."""
        return self.rows - self.events - self.left_out.total()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "file": self.name,
            "what": self.what,
            "rows": self.rows,
            "events": self.events,
            "left_out": dict(self.left_out),
            "named": {reason: texts for reason, texts in self.named.items() if texts},
        }


@dataclass
class Account:
    """The accounts of all files of an ingest, in the order in which they are read."""

    files: list[FileAccount] = field(default_factory=list)
    not_read: list[NotRead] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What else the user has to know (Spanish)."""
    repeated: int = 0
    """Events that are another one over again, of the same file or of another."""

    def begin(self, name: str) -> FileAccount:
        """Open the account of the file that is read next."""
        self.files.append(FileAccount(name))
        return self.files[-1]

    @property
    def current(self) -> FileAccount:
        """The file that is being read."""
        return self.files[-1]

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(file.rows for file in self.files)

    @property
    def events(self) -> int:
        """Events that the files give, each once."""
        return sum(file.events for file in self.files) - self.repeated

    def left_out(self) -> dict[str, int]:
        """Return how many rows are no events, by reason."""
        total: Counter[str] = Counter()
        for file in self.files:
            total += file.left_out
        if self.repeated:
            total["repeated"] = self.repeated
        return {reason: total[reason] for reason in REASONS if total[reason]}

    def codes(self) -> dict[str, int]:
        """Return the entries without a country that is one, by what they say instead."""
        total: Counter[str] = Counter()
        for file in self.files:
            total += file.codes
        return dict(total.most_common())

    def check(self) -> None:
        """Assure that nothing was lost on the way.

        Raises:
            AssertionError: a row is neither an event nor left out: a defect of the code.
        """
        for file in self.files:
            if file.missing():
                raise AssertionError(f"{file.name}: {file.missing()} rows are unaccounted for")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON: ``rows`` are ``events`` and all of ``left_out``."""
        return {
            "rows": self.rows,
            "events": self.events,
            "left_out": self.left_out(),
            "countries_unknown": self.codes(),
            "notes": self.notes,
            "files": [file.to_dict() for file in self.files],
            "not_read": [{"file": item.name, "reason": item.reason} for item in self.not_read],
        }

    def told(self) -> str:
        """Return the account in a line: ``1 evento, 2 sin canción, 3 sin país (ZZ: 3)``."""
        return told(self.events, self.left_out(), self.codes())


def told(events: int, left_out: Mapping[str, int], codes: Mapping[str, int]) -> str:
    """Return in a line (Spanish) what rows became."""
    parts = [f"{number(events)} {'evento' if events == 1 else 'eventos'}"]
    for reason, count in left_out.items():
        text = f"{number(count)} {REASONS[reason][count != 1]}"
        if reason in ("no_country", "unknown_country") and codes:
            each = ", ".join(f"{code or 'vacío'}: {number(n)}" for code, n in codes.items())
            text += f" ({each})"
        parts.append(text)
    return ", ".join(parts)


def in_time(frame: pl.DataFrame, file: FileAccount, latest: datetime) -> pl.DataFrame:
    """Leave out what is of the future, or of a clock that was not set, and name it.

    Published, an event of the future would be a dead letter, or make every other one late.

    Args:
        frame: ``EVENT_COLUMNS``, and ``_where`` (text) if the rows have a place.
        file: where they are from.
        latest: the latest time that an event may have now.
    """
    for reason, wrong in (
        ("future", pl.col("event_time") > latest),
        ("unset_clock", pl.col("event_time") < EARLIEST),
    ):
        count = frame.select(wrong.sum()).item()
        if count:
            place = "_where" if "_where" in frame.columns else "event_id"
            rows = frame.filter(wrong).head(_SHOWN).select("event_time", place).iter_rows()
            file.leave_out(
                reason, count, [f"{where}: {time:%Y-%m-%d %H:%M}" for time, where in rows]
            )
            frame = frame.filter(~wrong)
    return frame


def latest_time(clock_skew: timedelta) -> datetime:
    """Return the latest time that an event may have when it is published now."""
    return datetime.now(UTC) + clock_skew
