"""What several panels' SQL has in common."""

from __future__ import annotations

RUN_WINDOW = "PARSE_TIMESTAMP('%Y%m%dT%H%M%S', SPLIT(run_id, '-')[OFFSET(1)])"
"""The window of a run of live scores or of drift."""
NO_MONITOR = "Nadie ha puntuado el modelo en este intervalo: «spotify-mlops monitor»."
"""What is said where there is none."""


def shares(part: str, whole: str, names: tuple[str, str], source: str) -> str:
    """Return a query of a share and of the number that it is of, each a row."""
    share, count = names
    return (
        f"SELECT q.series AS series, q.value AS value FROM (SELECT {part} AS part, "
        f"{whole} AS total {source}), UNNEST([STRUCT('{share}' AS series, "
        f"SAFE_DIVIDE(part, total) AS value), STRUCT('{count}' AS series, "
        "CAST(part AS FLOAT64) AS value)]) AS q WHERE total > 0 ORDER BY value"
    )
