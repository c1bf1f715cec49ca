"""Phase 3: from records to model inputs, and proof that nothing of the future leaks in."""

from __future__ import annotations

from typing import Any

import polars as pl

from ...config.params import Params
from ...config.sections import Windows
from ...domain import features
from ...domain.events import Kind
from ...domain.labels import LEVELS
from ...model.table_checks import Check
from ..es import duration, join, moment, number, percent, plural
from .show import Table, Text, listing

_CHECKS = {
    "future": "Las variables no ven el futuro",
    "level": "La etiqueta es el nivel de la ventana futura",
    "horizon": "La etiqueta está justo en el horizonte",
    "key": "Cada fila aparece una vez",
}
_WAYS = {
    "future": "recalculadas sin los eventos posteriores",
    "level": "recalculada en SQL desde esa ventana",
    "key": "ventana, país y canción",
}
_KINDS = {"event": "eventos", "dead_letter": "cartas muertas", "heartbeat": "latidos"}


def slice_finding(records: pl.DataFrame) -> Text:
    """Say what part of the log is shown.

    Args:
        records: ``LOG_COLUMNS``.
    """
    partitions = records["partition"].n_unique()
    size: Any = records["value"].bin.size().mean()
    return Text(
        f"Son los primeros {number(records.height)} registros de "
        f"{plural(partitions, 'partición', 'particiones')}, de {number(float(size or 0))} bytes de "
        "media. Lo que se ve aquí es literalmente lo que guarda Kafka."
    )


def decode_finding(marked: pl.DataFrame) -> Text:
    """Say what the records turned out to be."""
    counts = dict(marked.group_by("kind").len().iter_rows())
    said = [
        f"{number(counts[kind.value])} {_KINDS[kind.value]}"
        for kind in Kind
        if kind.value in counts
    ]
    late = int(marked["late"].sum())
    return Text(
        f"De {number(marked.height)} registros salen {join(said)}; "
        f"{plural(late, 'evento llegó tarde', 'eventos llegaron tarde')} según la marca de su "
        "partición. Ninguno desaparece: cada registro sale de este paso con lo que es."
    )


def same_finding(same: bool, rows: int) -> Text:
    """Say whether a step gives with Beam what it gives without."""
    if same:
        return Text(f"Las {number(rows)} filas son iguales, con Beam y sin él.")
    return Text("**No son iguales**: la transformación hace algo más que su función.", "warning")


def dedup_finding(counters: pl.DataFrame, aggregates: pl.DataFrame) -> Text:
    """Say how many records became how many rows."""
    counted, repeated = int(counters["counted"].sum()), int(counters["duplicates"].sum())
    return Text(
        f"{number(counted)} eventos únicos de ventanas cerradas se resumen en "
        f"{number(aggregates.height)} filas (ventana, país, canción); se descartaron "
        f"{plural(repeated, 'repetido', 'repetidos')}. La última ventana del tramo sigue abierta y "
        "no da filas: nunca se escribe media ventana."
    )


def features_finding(built: pl.DataFrame, windows: Windows) -> Text:
    """Say what each row now holds."""
    names = features.Inputs.of(windows).names()
    return Text(
        f"Cada fila lleva {number(len(names))} variables: las del caso de estudio, primero y "
        f"en su orden, y la dinámica (puesto, impulso, edad, otros países y "
        f"{plural(len(windows.lags), 'ventana anterior', 'ventanas anteriores')}). En un "
        "tramo tan corto las ventanas anteriores aún están vacías; en el registro entero, no."
    )


def run_table(summary: Any) -> Table:
    """Return what the run over the whole log did.

    Args:
        summary: a ``jobs.bounded.BoundedSummary``.
    """
    names = {
        "spotify_events": "eventos (también los tardíos)",
        "spotify_features": "filas de variables",
        "spotify_labels": "etiquetas",
        "spotify_predictions": "predicciones",
        "spotify_dead_letters": "cartas muertas",
        "spotify_counters": "contadores de la auditoría",
    }
    rows = [("registros leídos de Kafka", number(summary.records))]
    rows += [(label, number(summary.rows[n])) for n, label in names.items() if n in summary.rows]
    return Table(
        "El registro entero, por el mismo grafo",
        ("Qué", "Filas"),
        tuple(rows),
        (False, True),
    )


def run_finding(summary: Any) -> Text:
    """Say how fast the run was and up to when windows are closed."""
    rate = summary.records / max(summary.seconds, 1e-9)
    until = moment(summary.watermark) if summary.watermark else "ningún momento"
    return Text(
        f"{number(summary.records)} registros en {number(summary.seconds, 1)} s "
        f"({number(rate)} por segundo, con la carga en BigQuery y MongoDB). El registro está "
        f"cerrado hasta {until} UTC."
    )


def checks_table(checks: list[Check], params: Params) -> Table:
    """Return the checks with what they compared."""
    ways = _WAYS | {
        "horizon": f"{duration(params.windows.window * params.model.horizon)} después de la fila"
    }
    rows = [
        (
            _CHECKS[c.code],
            ways[c.code],
            number(c.compared),
            number(c.different),
            "sí" if c.passed else "NO",
        )
        for c in checks
    ]
    return Table(
        "Comprobaciones de fuga",
        ("Comprobación", "Cómo", "Filas", "Diferencias", "Pasa"),
        tuple(rows),
        (False, False, True, True, False),
    )


def checks_decision(checks: list[Check]) -> Text:
    """Say whether the training set may be used."""
    failed = [_CHECKS[c.code] for c in checks if not c.passed]
    if failed:
        return Text(
            f"**No se puede entrenar con estas tablas.** Falla: {join(failed)}.",
            "warning",
        )
    return Text(
        "Ninguna fila sabe nada posterior a su ventana: las tablas sirven para entrenar. El mismo "
        "código hará estas variables en vivo, así que lo aprendido aquí valdrá allí.",
        "decision",
    )


def balance(labels: pl.DataFrame, params: Params) -> Text:
    """Say how the levels are spread.

    Args:
        labels: ``level``, ``rows``.
    """
    total = int(labels["rows"].sum())
    shares = {level: rows / total for level, rows in labels.select("level", "rows").iter_rows()}
    largest = max(shares, key=lambda level: shares[level])
    said = join(f"{percent(shares[name], 0)} {name}" for name in LEVELS if name in shares)
    return Text(
        f"De {number(total)} etiquetas, {said}. Quien dijera siempre «{largest}» acertaría el "
        f"{percent(shares[largest], 0)}: por eso la exactitud no basta."
    )


def steps_table() -> Table:
    """Return the steps of the graph and why each is there."""
    return listing(
        "Los pasos del grafo",
        (
            ("decodificar", "de bytes a columnas; lo que no cumple el contrato, aparte"),
            ("marcar", "qué llegó tarde, según el propio registro"),
            ("resumir", "quitar repetidos y contar por ventana, país y canción"),
            ("ordenar", "el puesto de cada canción en su país"),
            ("construir", "las variables: la ventana, las anteriores y los otros países"),
        ),
        ("Paso", "Qué hace"),
    )
