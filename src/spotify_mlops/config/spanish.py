"""Numbers, dates and names as a Spanish reader expects them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

THOUSANDS = "."
DECIMALS = ","
_SEPARATORS = str.maketrans({",": THOUSANDS, ".": DECIMALS})
MINUS = "\u2212"
NO_VALUE = "\u2013"

COUNTRY_NAMES = {
    "AR": "Argentina",
    "BR": "Brasil",
    "CL": "Chile",
    "CO": "Colombia",
    "ES": "España",
    "MX": "México",
    "US": "Estados Unidos",
}
EVENT_TYPE_NAMES = {
    "play": "reproducción",
    "skip": "salto",
    "search_result": "búsqueda",
    "new_release": "lanzamiento",
    "recommendation": "recomendación",
}
REASON_NAMES = {
    "empty": "registro vacío",
    "not_utf8": "no es UTF-8",
    "not_json": "no es JSON",
    "missing_field": "falta un campo",
    "wrong_type": "tipo equivocado",
    "out_of_range": "fuera de rango",
    "unknown_country": "país desconocido",
    "unknown_event_type": "tipo de evento desconocido",
    "future_event_time": "fecha en el futuro",
    "future_heartbeat": "latido con fecha en el futuro",
    "too_large": "demasiado grande",
    "unreadable": "ilegible en Kafka",
    "unsupported_schema_version": "versión de esquema no admitida",
}
MODEL_NAMES = {
    "majority": "mayoría",
    "persistence": "persistencia",
    "logistic": "regresión logística",
    "seed": "árboles, seis variables",
    "dynamics": "árboles, dinámica",
}
"""The models and their baselines, weakest idea first."""
DECISION_NAMES = {
    "retrain": "se reentrena",
    "refused": "candidato rechazado",
    "shadow": "candidato a la sombra",
    "canary": "candidato en pruebas",
    "promoted": "nuevo campeón",
    "rolled_back": "se vuelve atrás",
    "confirmed": "campeón confirmado",
}
INPUT_NAMES = {
    "hour_of_day": "hora del día",
    "event_type_search_result": "hubo búsquedas",
    "day_of_week": "día de la semana",
    "year_sin": "época del año (seno)",
    "year_cos": "época del año (coseno)",
    "country_rank": "puesto en el país",
    "attention_rank": "puesto por atención",
    "log_plays": "reproducciones",
    "plays_over_p40": "reproducciones frente al umbral de Media",
    "plays_over_p70": "reproducciones frente al umbral de Alta",
    "skip_rate": "parte de saltos",
    "log_searches": "búsquedas",
    "log_recommendations": "recomendaciones",
    "log_releases": "lanzamientos",
    "artist_tracks": "canciones del artista",
    "artist_best_score": "mejor puesto del artista",
    "other_countries": "en cuántos otros países suena",
    "other_best_score": "mejor puesto en otros países",
    "other_mean_score": "puesto medio en otros países",
    "age": "edad de la canción",
    "age_from_release": "tiempo desde el lanzamiento",
    "lags_present": "ventanas anteriores con datos",
    "momentum": "impulso del puesto",
    "plays_momentum": "impulso de las reproducciones",
    "plays_acceleration": "aceleración de las reproducciones",
    "mean_score": "puesto medio reciente",
    "peak_score": "mejor puesto reciente",
    "predicted_level": "el nivel que predice",
}
_INPUT_FORMS = {
    "country_": "es {}",
    "plays_in_": "reproducciones en {}",
    "plays_momentum_in_": "impulso de las reproducciones en {}",
    "score_lag_": "puesto hace {}",
    "plays_lag_": "reproducciones hace {}",
    "plays_change_": "cambio de las reproducciones en {}",
    "signals_lag_": "señales hace {}",
    "other_score_lag_": "puesto en otros países hace {}",
}
"""Inputs whose name ends in a country or in a number of windows."""
WEEKDAYS = ("lun", "mar", "mié", "jue", "vie", "sáb", "dom")
MONTHS = ("ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic")


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


def compact(value: float) -> str:
    """Write a large number short, for axes: 1500000 -> ``1,5 M``, 20000 -> ``20 mil``."""
    for size, unit in ((1e9, "mil M"), (1e6, "M"), (1e3, "mil")):
        if abs(value) >= size:
            return f"{number(value / size, 1, trim=True)} {unit}"
    return number(value, 0 if value == round(value) else 2)


def percent(share: float | None, decimals: int = 1) -> str:
    """Write a share as a percentage: ``0.123`` -> ``12,3 %``."""
    if share is None or math.isnan(share):
        return NO_VALUE
    return f"{number(100 * share, decimals)}\u00a0%"


def interval(value: float, low: float | None, high: float | None, decimals: int = 3) -> str:
    """Write an estimate with its interval: ``0,742 [0,731; 0,752]``."""
    text = number(value, decimals)
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return text
    return f"{text} [{number(low, decimals)}; {number(high, decimals)}]"


def day(value: date | datetime) -> str:
    """Write a day: ``5 ene 2026``."""
    return f"{value.day} {MONTHS[value.month - 1]} {value.year}"


def moment(value: datetime) -> str:
    """Write a day and hour: ``5 ene 2026, 14:00``."""
    return f"{day(value)}, {value:%H:%M}"


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


def country(code: str) -> str:
    """Return a country's name, or its code where the name is not listed."""
    return COUNTRY_NAMES.get(code, code)


def model_input(name: str) -> str:
    """Return what a model's input is, or its own name where it is not listed."""
    if name in INPUT_NAMES:
        return INPUT_NAMES[name]
    prefix, _, last = name.rpartition("_")
    form = _INPUT_FORMS.get(f"{prefix}_")
    if form is None:
        return name
    return form.format(
        plural(int(last), "ventana", "ventanas") if last.isdigit() else country(last)
    )


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


def aligned(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lay out a table for a terminal: what looks like a number to the right, the rest left."""
    lines = [list(titles), *map(list, rows)]
    columns = list(zip(*lines, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numbers = [all(cell.lstrip(MINUS)[:1].isdigit() for cell in c[1:]) for c in columns]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, numbers, strict=True)
        ).rstrip()
        for line in lines
    ]
