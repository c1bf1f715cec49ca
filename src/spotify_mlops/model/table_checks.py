"""Whether the tables of features and labels may be learned from: four comparisons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from ..config.params import Params
from ..domain import features
from ..domain.events import Kind
from ..domain.labels import level_of
from ..domain.windows import Windowing
from ..io import bigquery
from ..io.bigquery import tables
from . import leaks


@dataclass(frozen=True)
class Check:
    """One comparison that must come out without a difference."""

    code: Literal["future", "level", "horizon", "key"]
    compared: int
    different: int

    @property
    def passed(self) -> bool:
        """Whether something was compared and nothing differed."""
        return self.compared > 0 and self.different == 0


def check(params: Params, marked: pl.DataFrame) -> list[Check]:
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
    """Compute the inputs of some windows with and without the events after each."""
    windowing = Windowing.of(params.windows)
    events = marked.filter((pl.col("kind") == Kind.EVENT) & ~pl.col("late"))
    unique, _ = features.dedup(events.with_columns(window_start=windowing.start_expr("event_time")))
    whole = features.reference(unique, windowing, features.Inputs.of(params.windows))
    inputs = leaks.audit(whole, unique, params.windows, leaks.sample_windows(whole, params.model))
    return Check("future", *inputs.select("compared", "different").max().row(0))


def _labels_from_later_scores(params: Params) -> Check:
    found = bigquery.query(
        params,
        f"""
        SELECT l.level, {bigquery.score_sql(params.windows, "f")} AS label_score
        FROM ({tables.labels(params).view_sql(params.bigquery.dataset)}) l
        LEFT JOIN `{{dataset}}.spotify_features` f
          ON f.window_start = l.label_window AND f.country = l.country
         AND f.track_id = l.track_id
        """,
    )
    wrong = found.filter(
        pl.col("level")
        != level_of("label_score", (params.model.level_alta, params.model.level_media))
    )
    return Check(
        "level",
        found.height,
        wrong.height,
    )


def _labels_at_the_horizon(params: Params) -> Check:
    ahead = int((params.windows.window * params.model.horizon).total_seconds())
    found = bigquery.query(
        params,
        f"""
        SELECT COUNT(*) AS compared,
               COUNTIF(TIMESTAMP_DIFF(label_window, window_start, SECOND) != @ahead) AS different
        FROM ({tables.labels(params).view_sql(params.bigquery.dataset)})
        """,
        ahead=ahead,
    ).row(0)
    return Check(
        "horizon",
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
    return Check("key", *found)
