"""What the rows would cost in BigQuery: an estimate from their number, types and list prices."""

from __future__ import annotations

from ...config.params import Params
from ...io.bigquery.tables import log_tables
from ...operations.cloud.prices import each

_GIB = 1 << 30
_DAYS = 30
_TITLES = {
    "spotify_events": "eventos",
    "spotify_features": "variables del modelo",
    "spotify_predictions": "predicciones",
}


def prices() -> tuple[float, float]:
    """Return the USD of a GiB written, and of one that is kept for a month."""
    return each("bigquery_write"), each("bigquery_storage")


def sql(params: Params) -> str:
    """Return the query: of each large table, its rows a day and what a month of them costs."""
    days = f"(windows * {params.windows.window.total_seconds():g} / 86400)"
    parts = []
    for table in log_tables(params.windows):
        if table.name in _TITLES:
            size = table.row_bytes
            parts.append(
                f"SELECT '{_TITLES[table.name]}' AS kind, COUNT(*) AS n, {size} AS size, "
                "COUNT(DISTINCT window_start) AS windows "
                f"FROM {{dataset}}.{table.rows} WHERE window_start BETWEEN {{start}} AND {{end}}"
            )
    month = f"n / {days} * {_DAYS} * size / {_GIB}"
    return (
        f"SELECT kind AS `Tabla`, CAST(ROUND(n / {days}) AS INT64) AS `Filas al día`, "
        "size AS `Bytes por fila`, "
        f"{month} AS `GiB al mes`, "
        f"{month} * {sum(prices()):g} AS `USD al mes` "
        f"FROM ({' UNION ALL '.join(parts)}) WHERE windows > 0 ORDER BY n DESC"
    )
