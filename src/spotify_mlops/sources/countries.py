"""Which country a file or a row is about: said by the user, by a column or by the file's name."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from ..config.errors import InputError
from ..domain.events import COUNTRIES
from .country_names import CODES

WORLD = "(mundo)"
"""Stands for a chart of all countries together, which is of none."""
Period = Literal["weekly", "daily"]

_MANY_COUNTRIES = frozenset({"global", "world", "worldwide", "mundial", "mundo"})
_PERIODS: dict[str, Period] = {
    "weekly": "weekly", "semanal": "weekly", "semanales": "weekly",
    "daily": "daily", "diaria": "daily", "diarias": "daily", "diario": "daily",
}  # fmt: skip
# Words of a chart's name that say nothing of its country.
_OTHER_WORDS = frozenset(
    {"regional", "chart", "charts", "lista", "listas", "top", "top50", "top100", "top200", "50",
     "100", "200", "songs", "tracks", "track", "canciones", "spotify", "spotifycharts", "latest",
     "viral", "viral50", "popularity"}
)  # fmt: skip
_DATE = re.compile(r"(?<!\d)((?:19|20)\d{2})[-_.]?(\d{2})[-_.]?(\d{2})(?!\d)")
_YEAR = re.compile(r"(?:19|20)\d{2}")
_COPY = re.compile(r"\(\d+\)|~\d+$")
_SUFFIXES = re.compile(r"(\.(csv|tsv|txt|json|jsonl|gz|zip))+$", re.IGNORECASE)


@dataclass(frozen=True)
class FileName:
    """What the name of a file says of what is in it."""

    country: str | None
    """ISO code, ``WORLD``, or None where it says none."""
    period: Period | None
    dates: tuple[date, ...]
    viral: bool


def read_name(name: str) -> FileName:
    """Return what a file's name says: ``regional-co-weekly-2024-01-04.csv``, ``México.csv``.

    A country is only what is left when all that is known is taken away: anything looser would be
    a guess.
    """
    stem = _COPY.sub(" ", _SUFFIXES.sub("", name))
    dates = []
    for year, month, day in _DATE.findall(stem):
        try:
            dates.append(date(int(year), int(month), int(day)))
        except ValueError:
            continue
    words = plain(_DATE.sub(" ", stem)).split()
    period = next((_PERIODS[word] for word in words if word in _PERIODS), None)
    rest = [word for word in words if not (word in _PERIODS or _YEAR.fullmatch(word))]
    viral = any(word.startswith("viral") for word in words)
    # A name may be a country's as it is («la» is Laos), or once the words of charts are left out.
    for candidate in (rest, [word for word in rest if word not in _OTHER_WORDS]):
        code = code_of(" ".join(candidate)) if candidate else None
        if code is not None:
            return FileName(code, period, tuple(dates), viral)
    return FileName(None, period, tuple(dates), viral)


def code_of(text: str | None) -> str | None:
    """Return the code of a country said by code or name, ``WORLD``, or None for what is neither.

    >>> code_of("uk"), code_of("Czech Republic"), code_of("MÉXICO"), code_of("global")
    ('GB', 'CZ', 'MX', '(mundo)')
    """
    name = plain(text or "")
    if name in _MANY_COUNTRIES:
        return WORLD
    return name.upper() if name.upper() in COUNTRIES else CODES.get(name)


def country_of(path: Path) -> str:
    """Return the ISO 3166-1 alpha-2 code that the name of a file says.

    Raises:
        InputError: the name is of the whole world, or of no country known here.
    """
    code = read_name(path.name).country
    if code == WORLD:
        raise InputError(
            f"{path.name} no es de un país: suma el mundo entero y el nivel se predice por país. "
            "Da los archivos de cada país."
        )
    if code is None:
        raise InputError(
            f"{path.name}: el nombre no dice el país. Escríbalo así: {path.name}=CO "
            "(código ISO de dos letras)."
        )
    return code


def split_country(argument: str) -> tuple[Path, str | None]:
    """Split ``PATH=CC`` into path and country; without ``=CC`` the country is None.

    Raises:
        InputError: what is said is no country's code or name.
    """
    head, separator, tail = argument.rpartition("=")
    if not separator or "/" in tail or "." in tail or Path(argument).exists():
        return Path(argument), None
    code = code_of(tail)
    if code is None or code == WORLD:
        raise InputError(f"{argument}: «{tail}» no es un código de país ISO de dos letras.")
    return Path(head), code


def plain(text: str) -> str:
    """Return a name without accents, signs or capitals: ``united states``."""
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.sub(r"\(.*?\)", " ", ascii_only).replace("&", " and ").replace("'", "")
    return re.sub(r"[^a-z0-9]+", " ", words.lower()).strip()
