"""Panels on BigQuery: what there is to choose from, and a panel's rows for a choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from ...config.params import Params
from ...domain.labels import LEVELS
from ...io import bigquery
from ...io.bigquery import tables
from ...operations.monitor.decisions import Reason
from .panel import Panel, fill

_VALUES = {
    "dataset": "{dataset}",  # the client knows it
    **{name: f"@{name}" for name in ("start", "end", "since", "until")},
    **{name: f"UNNEST(@{name})" for name in ("countries", "levels", "models")},
}


@dataclass(frozen=True)
class Selection:
    """What a reader wants to see."""

    countries: tuple[str, ...]
    levels: tuple[str, ...]
    models: tuple[str, ...]
    start: datetime
    """First window."""
    end: datetime
    """Last window."""
    since: datetime
    """Of the wall clock."""
    until: datetime


@dataclass(frozen=True)
class Extent:
    """What the dataset holds."""

    countries: tuple[str, ...]
    models: tuple[str, ...]
    newest: datetime | None
    """The newest window with predictions, or with features while there are no predictions."""
    oldest: datetime | None
    last_report: datetime | None
    """When the live job last told of itself."""
    behind_records: int | None
    """What it then had still to write, and how much of event time that is."""
    behind_seconds: float | None
    by_persistence: bool = False
    """Whether the newest predictions are persistence's, since no model does better."""

    def selection(
        self,
        *,
        windows: timedelta | None,
        clock: timedelta | None,
        now: datetime,
        countries: Sequence[str] = (),
        levels: Sequence[str] = (),
        models: Sequence[str] = (),
    ) -> Selection:
        """Return a selection of what is there.

        Args:
            windows: how far back from the newest window; None is all of it.
            clock: how far back from ``now``; None is all of it.
            now: UTC.
            countries: none is all, as for ``levels`` and ``models``.
            levels: as ``labels.LEVELS``.
            models: versions.
        """
        end = self.newest or now
        oldest = self.oldest or end
        return Selection(
            tuple(countries) or self.countries,
            tuple(levels) or tuple(LEVELS),
            tuple(models) or self.models,
            oldest if windows is None else max(oldest, end - windows),
            end,
            datetime(2000, 1, 1, tzinfo=UTC) if clock is None else now - clock,
            now,
        )


def run(params: Params, panel: Panel, selection: Selection) -> pl.DataFrame:
    """Return a panel's rows.

    Raises:
        google.api_core.exceptions.GoogleAPICallError: BigQuery refuses the query.
    """
    wanted = {name: getattr(selection, name) for name in panel.placeholders - {"dataset"}}
    return bigquery.query(params, fill(panel.sql, _VALUES), **wanted)


_FALLBACK: Reason = "worse_than_persistence"
EXTENT_TABLES = ("spotify_features", "spotify_predictions", "spotify_lag")
"""What `extent` reads."""


def extent(params: Params) -> Extent:
    """Return what the dataset holds now."""
    found = bigquery.query(
        params,
        "SELECT (SELECT MAX(window_start) FROM {dataset}.spotify_predictions_rows) AS predicted, "
        "(SELECT MAX(window_start) FROM {dataset}.spotify_features_rows) AS built, "
        "(SELECT MIN(window_start) FROM {dataset}.spotify_features_rows) AS oldest, "
        "ARRAY(SELECT DISTINCT country FROM {dataset}.spotify_features_rows "
        "ORDER BY country) AS countries, "
        "ARRAY(SELECT DISTINCT model FROM {dataset}.spotify_predictions_rows "
        "ORDER BY model) AS models, "
        "(SELECT COUNT(*) FROM {dataset}.spotify_predictions_rows AS p "
        "JOIN {dataset}.spotify_decisions AS d ON p.model = CONCAT(@name, '@', d.model) "
        "WHERE d.reason = @reason AND p.window_start = "
        "(SELECT MAX(window_start) FROM {dataset}.spotify_predictions_rows)) AS persisting",
        name=params.model.name,
        reason=_FALLBACK,
    ).row(0, named=True)
    lag = bigquery.query(
        params,
        "SELECT measured_at, SUM(l.records) AS behind, MAX(seconds) AS seconds "
        "FROM {dataset}.spotify_lag AS l "
        "WHERE measured_at = (SELECT MAX(measured_at) FROM {dataset}.spotify_lag_rows) "
        "GROUP BY measured_at",
    )
    last = lag.row(0, named=True) if lag.height else {}
    return Extent(
        tuple(found["countries"] or ()),
        tuple(found["models"] or ()),
        found["predicted"] or found["built"],
        found["oldest"],
        last.get("measured_at"),
        last.get("behind"),
        last.get("seconds"),
        bool(found["persisting"]),
    )


def row_counts(params: Params) -> dict[str, int]:
    """Return how many rows each table holds, by its name and its view's: what tells of change."""
    every = (*tables.all_tables(params.windows), *tables.views(params))
    rows = sorted({table.rows for table in every})
    counted = ", ".join(f"(SELECT COUNT(*) FROM {{dataset}}.{name}) AS {name}" for name in rows)
    found = bigquery.query(params, f"SELECT {counted}").row(0, named=True)
    return {name: found[table.rows] for table in every for name in (table.name, table.rows)}
