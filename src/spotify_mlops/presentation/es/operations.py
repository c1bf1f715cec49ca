"""What the operations found, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ...config.params import Params
from ...config.spanish import MINUS, NO_VALUE, about, duration, number

if TYPE_CHECKING:  # they bring Beam, which takes seconds
    from ...operations.audit import AuditReport
    from ...operations.compare import TableComparison
    from ...operations.engines.cluster import RunningJob
    from ...operations.lag import Lag
    from ...operations.late import Changes
    from ...operations.new_log import Plan
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
_COUNTED = {
    "records_read": "registros leídos",
    "events": "eventos",
    "dead_letters": "errores",
    "late": "tardíos",
    "duplicates": "duplicados",
    "windows": "ventanas",
    "rows": "filas",
    "predictions": "predicciones",
}
_NOT_ASKED = {"no_model": "no tiene ningún modelo desplegado", "down": "no está en marcha"}
_EXAMPLES = {
    "differs": "{0.column} debía ser {0.expected} y es {0.found}",
    "missing": "falta",
    "extra": "sobra",
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
        else ["No cuadra:", *difference_lines(report)]
    )
    late = ["", *lag_lines(report.lag)] if report.lag.records else []
    return [*aligned(tuple(_AUDIT_TITLES.values()), cells), "", *verdict, *late]


def difference_lines(report: AuditReport) -> list[str]:
    """Return what does not agree, one sentence each."""
    lines = [] if report.another_log is None else [report.another_log]
    for item in report.differences:
        expected, found = number(item.expected), number(item.found)
        if item.partition is not None:
            gap = item.expected - item.found
            lines.append(
                f"Partición {item.partition}: {expected} registros en Kafka y {found} "
                f"contabilizados ({'faltan' if gap > 0 else 'sobran'} {number(abs(gap))})."
            )
        else:
            lines.append(
                f"{_AUDIT_TITLES[item.term]}: {found} encontrados y {expected} inyectados por "
                "el simulador."
            )
    return lines


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
    lines += [
        f"  Kafka responde, pero la partición {item.partition} no se puede leer desde el registro "
        f"{item.offset} ({item.error})"
        for item in lag.unreadable
    ]
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


def job_line(job: RunningJob) -> str:
    """Return in a line where the streaming job runs, since when, and what it has counted."""
    counted = [
        f"{words} {number(job.counters[name])}"
        for name, words in _COUNTED.items()
        if name in job.counters
    ]
    line = f"{job.engine}: {job.name}, {job.state}, desde {job.began:%Y-%m-%d %H:%M:%S} UTC"
    return f"{line}; {', '.join(counted)}" if counted else line


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
        title = _PLACE_TITLES[place.name]
        if place.not_asked is not None:
            why = place.refusal.rstrip(".") or _NOT_ASKED[place.not_asked]
            lines.append(f"{title}: {why}.")
        for item in place.examples:
            what = _EXAMPLES[item.problem].format(item)
            lines.append(f"{title}: {' '.join(item.key)}: {what}")
    lines.append(
        f"Todo coincide, bit a bit, con repetir los {number(report.records)} registros."
        if report.holds
        else "Hay valores distintos de los que da repetir el registro."
    )
    return lines


def plan_lines(plan: Plan, params: Params) -> list[str]:
    """Return what beginning with another log would do, a line a system."""
    return [
        f"Aparta {plan.files} ficheros (archivo del registro y posición guardada) a una "
        f"carpeta de {plan.aside}",
        f"Borra de BigQuery las tablas del registro de {params.bigquery.dataset}: "
        f"{', '.join(plan.tables)}",
        f"Vacía de MongoDB {params.mongo.database}: {', '.join(plan.collections)}",
    ]


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
    """Lay out a table for a terminal: numbers, and dashes for none, to the right, the rest left."""
    lines = [list(titles), *map(list, rows)]
    columns = list(zip(*lines, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numbers = [
        all(cell == NO_VALUE or cell.lstrip(MINUS)[:1].isdigit() for cell in c[1:]) for c in columns
    ]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, numbers, strict=True)
        ).rstrip()
        for line in lines
    ]
