"""How past predictions turned out, once their labels are known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal

import polars as pl

from ...config.params import Params
from ...domain.labels import level_of
from ...domain.schemas import KEY_SCHEMA, METRIC_SCHEMA, PROBABILITIES, ROW_KEY, Columns
from ...io import bigquery
from ...model import dataset, early_detection, metrics
from ...model.early_detection import DIRECTIONS, SHOWN
from .drift import Alarm

Split = Literal["live", "shadow", "drift"]
"""``live``: what was predicted for readers. ``shadow``: what the other model of a stage says of
the same windows. ``drift``: the champion's drift statistic, where above 1 is an alarm."""
SCORED_SCHEMA = Columns(
    KEY_SCHEMA.only("window_start"), METRIC_SCHEMA.only("model", "slice", "metric", "value", "rows")
)
_METRICS = {
    "accuracy": metrics.accuracy,
    "macro_f1": metrics.macro_f1,
    "ece": metrics.calibration_error,
}


def joined(predictions: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """Return the predictions whose label is known, as the metrics want them.

    Args:
        predictions: rows of ``spotify_predictions``.
        labels: ``LABEL_SCHEMA``.

    Returns:
        Row key, ``model``, ``level`` (true), ``predicted`` and `PROBABILITIES`, sorted by key.
    """
    return (
        predictions.rename({"level": "predicted"})
        .join(labels.select(*ROW_KEY, "level"), on=ROW_KEY)
        .select(*ROW_KEY, "model", "level", "predicted", *PROBABILITIES)
        .sort(ROW_KEY)
    )


def score(rows: pl.DataFrame, trained: Mapping[str, datetime], params: Params) -> pl.DataFrame:
    """Score each model in each window: whole, by country, and by the model's age.

    Args:
        rows: what `joined` gives.
        trained: the end of each model's training. Windows before it are left out: the model has
            learned from them.
        params: thresholds of the metrics.

    Returns:
        ``SCORED_SCHEMA``; ``slice`` is ``all``, ``country:CO`` or ``age:3`` (whole days since
        the end of the training; a window has one age, so it equals ``all``).
    """
    found = [
        (window, model, name, metric, float(function(counts)[0]), part.height)
        for (window, model), group in rows.group_by("window_start", "model", maintain_order=True)
        if window >= trained[str(model)]
        for name, part in _slices(group, window - trained[str(model)])
        for counts in [metrics.count(part, params)]  # a window is within one block
        for metric, function in _METRICS.items()
    ]
    return pl.DataFrame(found, schema=SCORED_SCHEMA, orient="row").sort(
        "window_start", "model", "slice", "metric"
    )


def lists(
    rows: pl.DataFrame, now: pl.DataFrame, trained: Mapping[str, datetime], params: Params
) -> pl.DataFrame:
    """Say of each window's lists of what would rise, and what would fall, how much did.

    Args:
        rows: what `joined` gives.
        now: row key and ``score_now``, null where it is not known: the score of the row's window.
        trained: see `score`.
        params: thresholds of the levels.

    Returns:
        ``SCORED_SCHEMA``, by model and country: ``rise_precision_at_10`` of the list (``rows`` are
        those on it) and ``rise_rate`` of all that could (``rows`` are they); ``fall_`` likewise.
        A window in which nothing could has none.
    """
    thresholds = dataset.thresholds(params.model)
    ranked = rows.join(now, on=ROW_KEY).with_columns(
        current_level=level_of("score_now", thresholds), order=pl.col(PROBABILITIES[0])
    )
    parts = []
    for (model,), group in ranked.group_by("model", maintain_order=True):
        known = group.filter(pl.col("window_start") >= trained[str(model)])
        for direction in DIRECTIONS:
            turned = early_detection.outcomes(known, direction, SHOWN)
            for name, hits, of in (
                (f"precision_at_{SHOWN}", "found", "listed"),
                ("rate", "hits", "candidates"),
            ):
                parts.append(
                    turned.select(
                        "window_start",
                        pl.lit(model).alias("model"),
                        (pl.lit("country:") + pl.col("country")).alias("slice"),
                        pl.lit(f"{direction}_{name}").alias("metric"),
                        (pl.col(hits) / pl.col(of)).alias("value"),
                        pl.col(of).cast(pl.Int64).alias("rows"),
                    )
                )
    found = pl.concat(parts) if parts else pl.DataFrame(schema=SCORED_SCHEMA)
    return found.select(*SCORED_SCHEMA).sort("window_start", "model", "slice", "metric")


def _slices(rows: pl.DataFrame, age: timedelta) -> Iterator[tuple[str, pl.DataFrame]]:
    yield "all", rows
    yield f"age:{age.days}", rows
    for (country,), part in sorted(rows.group_by("country"), key=lambda item: str(item[0][0])):
        yield f"country:{country}", part


def drift_rows(alarms: Iterable[Alarm], model: str) -> pl.DataFrame:
    """Return drift statistics in ``SCORED_SCHEMA``; ``slice`` names the furthest input."""
    found = [
        (alarm.window_start, model, f"input:{alarm.input}", "statistic", alarm.statistic, None)
        for alarm in alarms
    ]
    return pl.DataFrame(found, schema=SCORED_SCHEMA, orient="row")


def run_id(split: Split) -> str:
    """Return the format of the run ids of a split: sorted as text, the last is the latest."""
    return f"{split}-%Y%m%dT%H%M%S"


def last_window(params: Params, split: Split) -> datetime | None:
    """Return the latest window that has rows of a split in ``spotify_model_metrics``."""
    sql = "SELECT MAX(run_id) FROM `{dataset}.spotify_model_metrics` WHERE split = @split"
    last = bigquery.query(params, sql, split=split).item()
    return datetime.strptime(last, run_id(split)).replace(tzinfo=UTC) if last else None


def metric_rows(
    scored: pl.DataFrame, params: Params, written_at: datetime, split: Split = "live"
) -> pl.DataFrame:
    """Return scores as rows of ``spotify_model_metrics``: a window is a run."""
    rows = scored.with_columns(
        family=pl.lit(params.model.family),
        split=pl.lit(split),
        low=pl.lit(None, pl.Float64),
        high=pl.lit(None, pl.Float64),
    )
    written = metrics.metrics_rows(rows, run_id="", model=params.model, written_at=written_at)
    return written.with_columns(run_id=scored["window_start"].dt.strftime(run_id(split)))
