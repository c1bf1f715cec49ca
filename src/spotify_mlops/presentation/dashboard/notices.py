"""What is wrong or worth knowing, in one line each, above everything else on the page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ...config.sections import Windows
from ...io.local import processes, state
from ..es import duration, number
from .panel import Status
from .watch import Seen

SILENCE = timedelta(seconds=20)
"""A live job tells of itself each five seconds; after this long it counts as down."""
_BEHIND_WINDOWS = 2
_STREAM = "stream"
_PERSISTENCE = (
    "Ahora no predice ningún modelo: se supone que cada canción sigue como está, porque eso ha "
    "acertado más. Cuando un modelo lo supere, volverá a predecir."
)


@dataclass(frozen=True)
class Notice:
    """A line."""

    status: Status
    text: str


def notices(windows: Windows, seen: Seen, now: datetime) -> list[Notice]:
    """Return what a reader has to know before looking at any number."""
    if seen.away_since is not None:
        what = (
            f"Lo que se ve es de las {seen.at:%H:%M:%S}."
            if seen.at is not None
            else "Todavía no se ha podido leer nada."
        )
        return [
            Notice(
                "critical",
                f"BigQuery no responde desde las {seen.away_since:%H:%M:%S} UTC. {what} "
                "En local: «spotify-mlops status».",
            )
        ]
    found = [] if seen.failure is None else [_failed(seen)]
    extent = seen.extent
    if extent is None:
        return found
    if extent.newest is None:
        return [
            *found,
            Notice(
                "warning",
                "Todavía no ha llegado nada: ejecuta «make run», o «spotify-mlops ingest» y "
                "«spotify-mlops stream».",
            ),
        ]
    if extent.by_persistence:
        found.append(Notice("warning", _PERSISTENCE))
    return [*found, *_stream(extent.last_report, now), *_behind(windows, seen, now)]


def _failed(seen: Seen) -> Notice:
    old = f" Lo que se ve es de las {seen.at:%H:%M:%S}." if seen.at is not None else ""
    return Notice(
        "critical",
        f"La página no se pudo actualizar ({seen.failure}): se vuelve a intentar, y la traza está "
        f"en su registro.{old}",
    )


def _stream(last: datetime | None, now: datetime) -> list[Notice]:
    if last is None:
        return [
            Notice(
                "warning",
                "La tarea en directo no ha estado nunca en marcha: se ve lo que calculó la "
                "última pasada por todo el registro.",
            )
        ]
    if now - last <= SILENCE:
        return []
    record = state.get(_STREAM)
    crashed = record is not None and record.pid is not None and not processes.is_alive(record)
    how = "se cayó" if crashed else "está parada"
    return [
        Notice(
            "critical" if crashed else "warning",
            f"La tarea en directo {how}: no informa desde el {last:%d/%m/%Y} a las "
            f"{last:%H:%M:%S} UTC (hace {_about(now - last)}). No se pierde nada: al volver "
            "sigue por donde iba.",
        )
    ]


def _behind(windows: Windows, seen: Seen, now: datetime) -> list[Notice]:
    extent = seen.extent
    if extent is None or extent.last_report is None or now - extent.last_report > SILENCE:
        return []
    limit = (windows.window * _BEHIND_WINDOWS).total_seconds()
    if extent.behind_seconds is None or extent.behind_seconds < limit:
        return []
    return [
        Notice(
            "warning",
            f"Poniéndose al día: faltan {number(extent.behind_records)} registros, "
            f"{_about(timedelta(seconds=extent.behind_seconds))} de eventos. Los números son "
            "correctos, pero de entonces.",
        )
    ]


def _about(length: timedelta) -> str:
    """Write a length of time in its largest unit, rounded."""
    seconds = length.total_seconds()
    for size in (86_400, 3_600, 60):
        if seconds >= 2 * size:
            return duration(timedelta(seconds=round(seconds / size) * size))
    return duration(timedelta(seconds=round(seconds)))
