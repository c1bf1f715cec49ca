"""What the operations found, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ...config.spanish import MINUS, about, duration, number

if TYPE_CHECKING:  # they bring Beam, which takes seconds
    from ...operations.audit import AuditReport
    from ...operations.compare import TableComparison
    from ...operations.lag import Lag
    from ...operations.late import Changes
    from ...operations.skew import SkewReport

_AUDIT_TITLES = {
    "partition": "Partición",
    "records": "En Kafka",
    "counted": "Contados",
    "open": "Abiertos",
    "dead_letters": "Errores",
    "late": "Tardíos",
    "duplicates": "Duplicados",
    "heartbeats": "Latidos",
    "missing": "Diferencia",
}
_PLACE_TITLES = {
    "features_stored": "Variables en BigQuery (tarea en directo)",
    "features_notebook": "Variables que leen los cuadernos",
    "features_store": "Variables en MongoDB (busca el endpoint)",
    "predictions_stored": "Predicciones en BigQuery",
    "predictions_store": "Predicciones en MongoDB",
    "predictions_endpoint": "Predicciones del endpoint",
}
_MOST = 5
"""Features and changes of level that are shown."""


def audit_lines(report: AuditReport) -> list[str]:
    """Return the audit as a table, a row a partition, with the verdict under it."""
    total = {"partition": "Total"} | report.table.drop("partition").sum().to_dicts()[0]
    cells = [
        [row[name] if isinstance(row[name], str) else number(row[name]) for name in _AUDIT_TITLES]
        for row in (*report.table.to_dicts(), total)
    ]
    verdict = (
        ["Cuadra: cada registro está contabilizado una sola vez."]
        if report.holds
        else ["No cuadra:", *report.differences]
    )
    late = ["", *lag_lines(report.lag)] if report.lag.records else []
    return [*aligned(tuple(_AUDIT_TITLES.values()), cells), "", *verdict, *late]


def lag_lines(lag: Lag) -> list[str]:
    """Return the lag as lines: one for all, and one for each partition that lags."""
    where = {
        "job": "la tarea en directo",
        "position": "ninguna tarea en directo aquí; según su posición guardada",
        "none": "el registro no se ha procesado todavía",
    }[lag.source]
    age = "" if lag.age_seconds is None else f", de hace {_duration(lag.age_seconds)}"
    lines = [
        f"Retraso: {number(lag.records)} registros, {_time(lag.seconds)} de eventos ({where}{age})"
    ]
    if lag.trouble:
        lines.append(f"  Kafka responde, pero {lag.trouble}")
    if lag.pending:
        lines.append(f"  {lag.pending} ventanas cerradas por escribir")
    lines += [
        f"  partición {item.partition}: {number(item.records)} registros"
        + (f" ({number(item.unread)} sin leer)" if item.unread is not None else "")
        + f", {_time(item.seconds)} de eventos"
        for item in lag.partitions
        if item.records
    ]
    return lines


def _time(seconds: float | None) -> str:
    return "no se sabe cuánto" if seconds is None else _duration(seconds)


def _duration(seconds: float) -> str:
    return about(seconds).replace("\u00a0", " ")  # a terminal's search knows only this one


def skew_lines(report: SkewReport) -> list[str]:
    """Return the report as a table, with the first differences and the verdict under it."""
    titles = ("Dónde", "Comparadas", "Iguales", "Distintas", "Faltan", "Sobran", "Aparte")
    rows = []
    for place in report.places:
        equal = place.compared - place.different
        counts = (place.compared, equal, place.different, place.missing, place.extra, place.apart)
        rows.append((_PLACE_TITLES[place.name], *map(number, counts)))
    lines = [*aligned(titles, rows), ""]
    for place in report.places:
        if place.note:
            lines.append(f"{_PLACE_TITLES[place.name]}: {place.note}.")
        lines += [f"{_PLACE_TITLES[place.name]}: {example}" for example in place.examples]
    lines.append(
        f"Todo coincide, bit a bit, con repetir los {number(report.records)} registros."
        if report.holds
        else "Hay valores distintos de los que da repetir el registro."
    )
    return lines


def late_lines(changes: Changes) -> list[str]:
    """Return the changes as a table."""
    pairs = {
        "Eventos tardíos, aparte": changes.late,
        "Eventos contados": changes.counted,
        "Duplicados": changes.duplicates,
        "Ventanas": changes.windows,
        "Filas de variables": changes.rows,
        "Predicciones": changes.predictions,
    }
    before, after = (f"con {duration(lateness)}" for lateness in changes.allowed_lateness)
    table = aligned(
        ("Retraso admitido", before, after, "Más"),
        [
            (title, number(one), number(two), number(two - one))
            for title, (one, two) in pairs.items()
        ],
    )
    changed = {
        "Filas de variables que cambian": (changes.rows_changed, changes.features_changed),
        "Predicciones que cambian": (changes.predictions_changed, {}),
        "Predicciones que cambian de nivel": (
            sum(changes.levels_moved.values()),
            changes.levels_moved,
        ),
        "Etiquetas que cambian": (changes.labels_changed, {}),
    }
    return [
        *table,
        "",
        *(f"{title}: {number(n)}{_some(parts)}" for title, (n, parts) in changed.items()),
    ]


def _some(counts: Mapping[str, int]) -> str:
    shown = [f"{name} {number(count)}" for name, count in list(counts.items())[:_MOST]]
    more = [f"y {number(len(counts) - _MOST)} más"] if len(counts) > _MOST else []
    return f" ({', '.join([*shown, *more])})" if shown else ""


def comparison_lines(tables: list[TableComparison]) -> list[str]:
    """Return the comparison as a table with the verdict under it."""
    rows = [
        (
            table.name,
            number(table.live.rows),
            table.live.sha256[:12],
            number(table.other.rows),
            table.other.sha256[:12],
            "sí" if table.equal else "NO",
        )
        for table in tables
    ]
    titles = ("Tabla", "En directo", "Huella", "Repetición", "Huella", "Iguales")
    verdict = (
        "Las dos dicen lo mismo, bit a bit."
        if all(table.equal for table in tables)
        else "No dicen lo mismo."
    )
    return [*aligned(titles, rows), "", verdict]


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
