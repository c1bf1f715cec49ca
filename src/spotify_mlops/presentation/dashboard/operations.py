"""The panels of the operations board: whether data and model are in order, and what they cost."""

from __future__ import annotations

from ...config.params import Params
from ...config.sections import Windows
from ...domain.features import Inputs
from ...operations.monitor.drift import PREDICTED
from ..es import number
from ..es.decisions import sentence_sql
from ..es.names import DECISION_NAMES, REASON_NAMES, named_sql
from ..figures.style import ACCENT, EVENT_TYPE_COLORS
from . import cost
from .panel import Panel, Threshold
from .sql import NO_MONITOR, RUN_WINDOW, shares

_LATEST = 10
_NO_STREAM = "La tarea en directo no ha informado en este intervalo."


def panels(params: Params) -> tuple[Panel, ...]:
    """Return them, in the order in which the board shows them."""
    return (
        Panel(
            "freshness_now",
            "operations",
            "Frescura",
            "¿Cuánto tarda una ventana, desde que se cierra, en poderse leer?",
            "stat",
            "SELECT q.series AS series, q.value AS value FROM (SELECT "
            "APPROX_QUANTILES(seconds, 100)[OFFSET(50)] AS p50, "
            "APPROX_QUANTILES(seconds, 100)[OFFSET(99)] AS p99, COUNT(*) AS n "
            "FROM {dataset}.spotify_freshness WHERE closed_at BETWEEN {since} AND {until}), "
            "UNNEST([STRUCT('mediana (p50)' AS series, p50 AS value), "
            "STRUCT('99 de cada 100 (p99)' AS series, p99 AS value)]) AS q WHERE n > 0 "
            "ORDER BY value",
            unit="seconds",
            width=3,
            thresholds=(Threshold(2, "warning"), Threshold(10, "critical")),
            empty=_NO_STREAM,
        ),
        Panel(
            "lag_now",
            "operations",
            "Retraso",
            "¿Cuánto le queda por escribir a la tarea en directo?",
            "stat",
            "SELECT q.series AS series, q.value AS value FROM (SELECT SUM(l.records) AS records, "
            "MAX(seconds) AS seconds FROM {dataset}.spotify_lag AS l WHERE measured_at = "
            "(SELECT MAX(measured_at) FROM {dataset}.spotify_lag_rows "
            "WHERE measured_at BETWEEN {since} AND {until})), "
            "UNNEST([STRUCT('registros' AS series, CAST(records AS FLOAT64) AS value), "
            "STRUCT('de tiempo de eventos' AS series, seconds AS value)]) AS q "
            "WHERE q.value IS NOT NULL ORDER BY series DESC",
            units={"de tiempo de eventos": "seconds"},
            width=3,
            empty=_NO_STREAM,
        ),
        Panel(
            "dead_letter_share",
            "operations",
            "Cartas muertas",
            "¿Qué parte de lo que llega no se puede leer?",
            "stat",
            shares(
                "SUM(dead)",
                "SUM(dead + good)",
                ("de los registros", "apartadas"),
                "FROM (SELECT (SELECT COUNT(*) FROM {dataset}.spotify_dead_letters_rows "
                "WHERE append_time BETWEEN {since} AND {until}) AS dead, "
                "(SELECT COUNT(*) FROM {dataset}.spotify_events_rows "
                "WHERE append_time BETWEEN {since} AND {until}) AS good)",
            ),
            units={"apartadas": "count"},
            unit="share",
            width=3,
            thresholds=(Threshold(0.05, "warning"), Threshold(0.2, "critical")),
        ),
        Panel(
            "audit_status",
            "operations",
            "Auditoría",
            "¿Está cada registro de Kafka contabilizado una sola vez?",
            "stat",
            "SELECT 'registros sin contabilizar' AS series, "
            "CAST(SUM(ABS(missing)) AS FLOAT64) + IF(LOGICAL_AND(holds), 0, 1) AS value, "
            "CONCAT(IF(LOGICAL_AND(holds), 'cuadra', 'no cuadra'), "
            "FORMAT_TIMESTAMP(', %d/%m/%Y %H:%M', MAX(audited_at))) AS detail "
            "FROM {dataset}.spotify_audits AS a WHERE audited_at = "
            "(SELECT MAX(audited_at) FROM {dataset}.spotify_audits_rows "
            "WHERE audited_at <= {until}) HAVING COUNT(*) > 0",
            width=3,
            thresholds=(Threshold(1, "critical"),),
            empty="Todavía nadie ha auditado: «spotify-mlops audit».",
        ),
        Panel(
            "freshness",
            "operations",
            "Frescura, minuto a minuto",
            "¿Se leen las ventanas tan pronto como siempre? (del cierre a la última fila en "
            "BigQuery)",
            "line",
            "SELECT q.time AS time, kind.series AS series, kind.value AS value FROM (SELECT "
            "TIMESTAMP_TRUNC(closed_at, MINUTE) AS time, "
            "APPROX_QUANTILES(seconds, 100)[OFFSET(50)] AS p50, "
            "APPROX_QUANTILES(seconds, 100)[OFFSET(99)] AS p99 "
            "FROM {dataset}.spotify_freshness WHERE closed_at BETWEEN {since} AND {until} "
            "GROUP BY 1) AS q, UNNEST([STRUCT('p50' AS series, p50 AS value), "
            "STRUCT('p99' AS series, p99 AS value)]) AS kind ORDER BY time, series",
            unit="seconds",
            colors={"p50": ACCENT, "p99": EVENT_TYPE_COLORS["search_result"]},
            empty=_NO_STREAM,
        ),
        Panel(
            "lag",
            "operations",
            "Retraso por partición",
            "¿Se acumula trabajo en alguna partición del registro?",
            "line",
            "SELECT measured_at AS time, CONCAT('partición ', CAST(log_partition AS STRING)) "
            "AS series, l.records AS value FROM {dataset}.spotify_lag AS l "
            "WHERE measured_at BETWEEN {since} AND {until} ORDER BY time, series",
            empty=_NO_STREAM,
        ),
        Panel(
            "arrivals",
            "operations",
            "Registros que llegan por minuto",
            "¿A qué ritmo se escribe en Kafka? (hora de llegada, minutos enteros)",
            "line",
            "SELECT TIMESTAMP_TRUNC(append_time, MINUTE) AS time, 'registros' AS series, "
            "COUNT(*) AS value FROM {dataset}.spotify_events_rows "
            "WHERE append_time >= "
            "TIMESTAMP_TRUNC(TIMESTAMP_ADD({since}, INTERVAL 59 SECOND), MINUTE) "
            "AND append_time < TIMESTAMP_TRUNC({until}, MINUTE) GROUP BY 1 ORDER BY time",
            unit="per_minute",
            colors={"registros": ACCENT},
        ),
        Panel(
            "dead_letters",
            "operations",
            "Cartas muertas por motivo",
            "¿Qué llega mal?",
            "bars",
            f"SELECT {named_sql('reason', REASON_NAMES)} AS category, 'cartas muertas' AS series, "
            "COUNT(*) AS value FROM {dataset}.spotify_dead_letters "
            "WHERE append_time BETWEEN {since} AND {until} "
            "GROUP BY reason ORDER BY value DESC, category",
            colors={"cartas muertas": ACCENT},
            empty="Ninguna carta muerta en este intervalo.",
        ),
        Panel(
            "late_and_duplicates",
            "operations",
            "Tardíos y duplicados",
            "¿Cuánto se aparta por llegar tarde o repetido? (por ventana, en tiempo del evento)",
            "line",
            "SELECT time, series, value FROM ("
            "SELECT window_start AS time, 'duplicados' AS series, SUM(duplicates) AS value "
            "FROM {dataset}.spotify_counters WHERE window_start BETWEEN {start} AND {end} "
            "GROUP BY window_start UNION ALL "
            "SELECT window_start AS time, 'tardíos' AS series, COUNT(*) AS value "
            "FROM {dataset}.spotify_late_events WHERE window_start BETWEEN {start} AND {end} "
            "GROUP BY window_start) ORDER BY time, series",
            colors={"duplicados": ACCENT, "tardíos": EVENT_TYPE_COLORS["search_result"]},
        ),
        Panel(
            "drift",
            "operations",
            "Deriva",
            "¿Ve el modelo lo que veía cuando aprendió? (por encima de 1, alarma)",
            "line",
            f"SELECT {RUN_WINDOW} AS time, model AS series, value "
            "FROM {dataset}.spotify_model_metrics WHERE split = 'drift' "
            f"AND model IN {{models}} AND {RUN_WINDOW} BETWEEN {{start}} AND {{end}} "
            "ORDER BY time, series",
            unit="times",
            thresholds=(Threshold(1, "critical"),),
            empty=NO_MONITOR,
        ),
        Panel(
            "audits",
            "operations",
            "Últimas auditorías",
            "¿Dónde acabó cada registro de Kafka?",
            "table",
            "SELECT FORMAT_TIMESTAMP('%d/%m/%Y %H:%M:%S', audited_at) AS `Hora (UTC)`, "
            "IF(LOGICAL_AND(holds), 'cuadra', 'no cuadra') AS `Resultado`, "
            "SUM(a.records) AS `En Kafka`, SUM(counted) AS `Contados`, SUM(open) AS `Abiertos`, "
            "SUM(dead_letters) AS `Cartas muertas`, SUM(late) AS `Tardíos`, "
            "SUM(duplicates) AS `Duplicados`, SUM(heartbeats) AS `Latidos`, "
            "SUM(missing) AS `Faltan` FROM {dataset}.spotify_audits AS a "
            "WHERE audited_at <= {until} "
            f"GROUP BY audited_at ORDER BY audited_at DESC LIMIT {_LATEST}",
            width=12,
            empty="Ninguna todavía: «spotify-mlops audit».",
        ),
        Panel(
            "decisions",
            "operations",
            "Decisiones sobre el modelo",
            "¿Qué se ha hecho con el modelo, cuándo y por qué?",
            "table",
            "SELECT FORMAT_TIMESTAMP('%d/%m/%Y %H:%M', window_start) AS `Ventana (UTC)`, "
            f"{named_sql('step', DECISION_NAMES)} AS `Paso`, model AS `Versión`, "
            f"{sentence_sql(_inputs(params.windows))} AS `Motivo` "
            "FROM {dataset}.spotify_decisions "
            "WHERE window_start <= {end} "
            f"ORDER BY decided_at DESC LIMIT {_LATEST}",
            width=12,
            empty="Ninguna: el modelo que se desplegó sigue como estaba.",
        ),
        Panel(
            "cost",
            "operations",
            "Lo que costaría en BigQuery",
            "¿Cuánto valdría escribir y guardar esto un mes? (estimación: filas por día de "
            f"eventos, tamaño por tipo de columna, a {number(cost.prices()[0], 3)} USD/GiB "
            f"escrito y {number(cost.prices()[1], 3)} USD/GiB guardado; sin consultas, "
            "Dataflow, Kafka ni Vertex AI)",
            "table",
            cost.sql(params),
            width=12,
            units={"GiB al mes": "score", "USD al mes": "usd"},
        ),
    )


def _inputs(windows: Windows) -> tuple[str, ...]:
    """Return the names that may be said to drift."""
    return (*Inputs.of(windows).names(), PREDICTED)
