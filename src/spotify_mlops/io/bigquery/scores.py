"""The score whose thresholds are the levels, in SQL."""

from __future__ import annotations

from ...config.sections import Windows


def score_sql(windows: Windows, rows: str) -> str:
    """Return in SQL what `domain.labels.score_of` gives of some rows of the features."""
    if windows.target == "api":
        return f"CASE WHEN {rows}.api_known = 1 THEN {rows}.api_popularity END"
    return f"{rows}.play_score"
