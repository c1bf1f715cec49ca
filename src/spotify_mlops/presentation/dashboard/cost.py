"""What the rows would cost in BigQuery: an estimate from their number and their types.

Sizes are BigQuery's own of each type (https://cloud.google.com/bigquery/docs/reference/
standard-sql/data-types#data_type_sizes); prices are the params' (list prices that change).
"""

from __future__ import annotations

from ...config.params import Params
from ...io.bigquery.tables import Table, log_tables

_BYTES = {"INT64": 8, "FLOAT64": 8, "BOOL": 1, "DATE": 8, "TIMESTAMP": 8}
_TEXT_BYTES = 2 + 20
"""Two bytes and the text; twenty is what ids, names and codes take together on average here."""
_VALUE_BYTES = 300
"""Of a dead letter's original bytes."""
_GIB = 1 << 30
_DAYS = 30
_TITLES = {
    "spotify_events": "eventos",
    "spotify_features": "variables del modelo",
    "spotify_predictions": "predicciones",
}


def row_bytes(table: Table) -> int:
    """Return the bytes that BigQuery counts for a row of a table, about."""
    sizes = _BYTES | {"STRING": _TEXT_BYTES, "BYTES": _VALUE_BYTES}
    return sum(sizes[field.field_type] for field in table.schema)


def sql(params: Params) -> str:
    """Return the query: of each large table, its rows a day and what a month of them costs."""
    days = f"(windows * {params.windows.window.total_seconds():g} / 86400)"
    parts = []
    for table in log_tables(params.windows):
        if table.name in _TITLES:
            size = row_bytes(table)
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
        f"{month} * {params.price.write_gib + params.price.storage_gib:g} AS `USD al mes` "
        f"FROM ({' UNION ALL '.join(parts)}) WHERE windows > 0 ORDER BY n DESC"
    )
