"""Which country a file is about: said by the user (``PATH=CC``) or by the file's own name."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from ..config.errors import InputError
from ..domain.events import COUNTRIES

# English names of the markets that publish charts; Spanish ones where they differ.
_NAMES = {
    "AE": "united arab emirates", "AR": "argentina", "AT": "austria", "AU": "australia",
    "BE": "belgium", "BG": "bulgaria", "BO": "bolivia", "BR": "brazil", "BY": "belarus",
    "CA": "canada", "CH": "switzerland", "CL": "chile", "CO": "colombia", "CR": "costa rica",
    "CY": "cyprus", "CZ": "czech republic", "DE": "germany", "DK": "denmark",
    "DO": "dominican republic", "EC": "ecuador", "EE": "estonia", "EG": "egypt", "ES": "spain",
    "FI": "finland", "FR": "france", "GB": "united kingdom", "GR": "greece", "GT": "guatemala",
    "HK": "hong kong", "HN": "honduras", "HU": "hungary", "ID": "indonesia", "IE": "ireland",
    "IL": "israel", "IN": "india", "IS": "iceland", "IT": "italy", "JP": "japan",
    "KR": "south korea", "KZ": "kazakhstan", "LT": "lithuania", "LU": "luxembourg",
    "LV": "latvia", "MA": "morocco", "MT": "malta", "MX": "mexico", "MY": "malaysia",
    "NG": "nigeria", "NI": "nicaragua", "NL": "netherlands", "NO": "norway", "NZ": "new zealand",
    "PA": "panama", "PE": "peru", "PH": "philippines", "PK": "pakistan", "PL": "poland",
    "PT": "portugal", "PY": "paraguay", "RO": "romania", "RU": "russia", "SA": "saudi arabia",
    "SE": "sweden", "SG": "singapore", "SK": "slovakia", "SV": "el salvador", "TH": "thailand",
    "TR": "turkey", "TW": "taiwan", "UA": "ukraine", "US": "united states", "UY": "uruguay",
    "VE": "venezuela", "VN": "vietnam", "ZA": "south africa",
}  # fmt: skip
_SPANISH = {
    "BR": "brasil", "DE": "alemania", "ES": "espana", "FR": "francia", "GB": "reino unido",
    "IT": "italia", "JP": "japon", "PE": "peru", "US": "estados unidos",
    "DO": "republica dominicana",
}  # fmt: skip
_CODES = {name: code for names in (_NAMES, _SPANISH) for code, name in names.items()}
_MANY_COUNTRIES = frozenset({"global", "world", "worldwide", "mundial", "mundo"})


def country_of(path: Path) -> str:
    """Return the ISO 3166-1 alpha-2 code that the name of a file says.

    The whole name must be a country's: ``united_states.csv.gz``, ``México.csv``, ``co.csv``.
    Anything looser would be a guess.

    Raises:
        InputError: the name is of the whole world, or of no country known here.
    """
    name = plain_name(path)
    if name in _MANY_COUNTRIES:
        raise InputError(
            f"{path.name} no es de un país: suma el mundo entero y el nivel se predice por país. "
            "Da los archivos de cada país."
        )
    code = name.upper() if name.upper() in COUNTRIES else _CODES.get(name)
    if code is None:
        raise InputError(
            f"{path.name}: el nombre no dice el país. Escríbalo así: {path.name}=CO "
            "(código ISO de dos letras)."
        )
    return code


def split_country(argument: str) -> tuple[Path, str | None]:
    """Split ``PATH=CC`` into path and country; without ``=CC`` the country is None.

    Raises:
        InputError: the code is not an ISO 3166-1 alpha-2 country.
    """
    head, separator, tail = argument.rpartition("=")
    if not separator or "/" in tail or "." in tail:
        return Path(argument), None
    if tail.upper() not in COUNTRIES:
        raise InputError(f"{argument}: «{tail}» no es un código de país ISO de dos letras.")
    return Path(head), tail.upper()


def plain_name(path: Path) -> str:
    """Return a file's name without suffixes, accents or separators: ``united states``."""
    stem = path.name.split(".")[0]
    ascii_only = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    return re.sub(r"[\s_-]+", " ", ascii_only).strip().lower()
