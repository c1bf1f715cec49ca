"""Phase 3: from records to model inputs, and proof that nothing of the future leaks in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from ...config.params import Params
from ...config.spanish import duration, join, moment, number, percent, plural
from ...domain import features
from ...domain.events import Kind
from ...domain.features import ROW_KEY
from ...domain.labels import LEVELS, level_of
from ...domain.windows import Windowing
from ...io import bigquery
from .show import Table, Text, listing

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


def dedup_finding(counters: pl.DataFrame, aggregates: pl.DataFrame) -> Text:
    """Say how many records became how many rows."""
    counted, repeated = int(counters["counted"].sum()), int(counters["duplicates"].sum())
    return Text(
        f"{number(counted)} eventos únicos de ventanas cerradas se resumen en "
        f"{number(aggregates.height)} filas (ventana, país, canción); se descartaron "
        f"{plural(repeated, 'repetido', 'repetidos')}. La última ventana del tramo sigue abierta y "
        "no da filas: nunca se escribe media ventana."
    )


def features_finding(built: pl.DataFrame, params: Params) -> Text:
    """Say what each row now holds."""
    names = features.feature_names("dynamics", params.lags)
    return Text(
        f"Cada fila lleva {number(len(names))} variables: las seis del caso de estudio, primero y "
        "en "
        f"su orden, y la dinámica (puesto, impulso, edad, otros países y "
        f"{plural(len(params.lags), 'ventana anterior', 'ventanas anteriores')}). En un tramo tan "
        "corto las ventanas anteriores aún están vacías; en el registro entero, no."
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
        "cerrado "
        f"hasta {until} UTC."
    )


@dataclass(frozen=True)
class Check:
    """One comparison that must come out without a difference."""

    name: str
    how: str
    compared: int
    different: int

    @property
    def passed(self) -> bool:
        """Whether something was compared and nothing differed."""
        return self.compared > 0 and self.different == 0


def leak_checks(params: Params, marked: pl.DataFrame) -> list[Check]:
    """Look for the future in features and labels.

    Args:
        params: dataset and times.
        marked: decoded records of a slice (``explore.decode_and_mark``), for the recomputation.

    Raises:
        google.api_core.exceptions.GoogleAPICallError: the tables are not there.
    """
    return [
        _features_without_the_future(params, marked),
        _labels_from_later_scores(params),
        _labels_at_the_horizon(params),
        _keys_once(params),
    ]


def _features_without_the_future(params: Params, marked: pl.DataFrame) -> Check:
    """Compute features with and without the second half of the slice; the first half must agree."""
    windowing = Windowing.of(params)
    events = marked.filter((pl.col("kind") == Kind.EVENT) & ~pl.col("late"))
    unique, _ = features.dedup(events.with_columns(window_start=windowing.start_expr("event_time")))
    starts = unique["window_start"].unique().sort()
    cut = starts[len(starts) // 2]
    known = pl.col("window_start") < cut
    lags = list(params.lags)
    whole = features.reference(unique, windowing, lags).filter(known)
    past = features.reference(unique.filter(known), windowing, lags)
    same = whole.height == past.height and whole.sort(ROW_KEY).equals(past.sort(ROW_KEY))
    different = 0 if same else _differing_rows(whole, past)
    return Check(
        "Las variables no ven el futuro",
        "recalculadas sin los eventos posteriores",
        past.height,
        different,
    )


def _differing_rows(left: pl.DataFrame, right: pl.DataFrame) -> int:
    rows = pl.concat([left, right]).unique(maintain_order=False).height
    return max(rows - min(left.height, right.height), 1)


def _labels_from_later_scores(params: Params) -> Check:
    found = bigquery.query(
        params,
        """
        SELECT l.level, f.play_score AS label_score
        FROM `{dataset}.spotify_labels` l
        LEFT JOIN `{dataset}.spotify_features` f
          ON f.window_start = l.label_window AND f.country = l.country
         AND f.track_id = l.track_id
        """,
    )
    wrong = found.filter(
        pl.col("level") != level_of("label_score", (params.level_alta, params.level_media))
    )
    return Check(
        "La etiqueta es el nivel de la ventana futura",
        "recalculada en SQL desde esa ventana",
        found.height,
        wrong.height,
    )


def _labels_at_the_horizon(params: Params) -> Check:
    ahead = int((params.window * params.horizon).total_seconds())
    found = bigquery.query(
        params,
        """
        SELECT COUNT(*) AS compared,
               COUNTIF(TIMESTAMP_DIFF(label_window, window_start, SECOND) != @ahead) AS different
        FROM `{dataset}.spotify_labels`
        """,
        ahead=ahead,
    ).row(0)
    return Check(
        "La etiqueta está justo en el horizonte",
        f"{duration(params.window * params.horizon)} después de la fila",
        *found,
    )


def _keys_once(params: Params) -> Check:
    found = bigquery.query(
        params,
        """
        SELECT COUNT(*) AS compared, COUNT(*) - COUNT(DISTINCT CONCAT(
            CAST(window_start AS STRING), '|', country, '|', track_id)) AS different
        FROM `{dataset}.spotify_features`
        """,
    ).row(0)
    return Check("Cada fila aparece una vez", "ventana, país y canción", *found)


def checks_table(checks: list[Check]) -> Table:
    """Return the checks with what they compared."""
    rows = [
        (c.name, c.how, number(c.compared), number(c.different), "sí" if c.passed else "NO")
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
    failed = [c.name for c in checks if not c.passed]
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
