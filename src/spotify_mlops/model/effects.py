"""How hour, event type and country go with popularity: in the data, and in the model.

Two views side by side. *Raw*: the share of rows that became Alta, group by group; what is, with
everything else that differs between the groups in it. *Adjusted*: the model's mean probability of
Alta when one variable is set to a value in the same rows and the others stay (partial dependence;
Friedman, 2001); what the model makes of that variable alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from ..config.params import Params
from ..domain.features import country_feature
from ..domain.labels import LEVELS
from ..domain.schemas import PROBABILITIES
from . import dataset
from .dataset import matrix
from .metrics import blocks_of, bootstrap_weights, interval
from .predictor import Predictor

EVENT_TYPE_COLUMNS = {
    "play": "plays",
    "skip": "skips",
    "search_result": "searches",
    "new_release": "releases",
    "recommendation": "recommendations",
}
"""Event type -> column of the features table that counts it."""

SEARCH_SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)

_SCHEMA = {
    "level": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "rows": pl.Int64,
}


def raw_shares(rows: pl.DataFrame, by: str | pl.Expr, params: Params) -> pl.DataFrame:
    """Return the share of rows of each group that became each level.

    Args:
        rows: labelled rows.
        by: column, or expression, of the groups.
        params: bootstrap over blocks of time.

    Returns:
        ``x`` (the group), ``level``, ``value``, ``low``, ``high``, ``rows``; sorted.
    """
    group = pl.col(by) if isinstance(by, str) else by
    frame = rows.select("window_start", "level", group.alias("x"))
    parts = []
    for (x,), part in sorted(frame.group_by("x"), key=lambda item: item[0][0]):
        hits = np.stack([(part["level"] == level).to_numpy() for level in LEVELS], axis=1)
        parts.append(_summary(x, hits.astype(float), part, params))
    return _joined(parts, frame.schema["x"])


def by_hour(rows: pl.DataFrame, params: Params) -> pl.DataFrame:
    """Return `raw_shares` by hour of the day (UTC)."""
    return raw_shares(rows, pl.col("hour_of_day").cast(pl.Int64), params)


def by_country(rows: pl.DataFrame, params: Params) -> pl.DataFrame:
    """Return `raw_shares` by country."""
    return raw_shares(rows, "country", params)


def by_event_type(rows: pl.DataFrame, params: Params) -> pl.DataFrame:
    """Return `raw_shares` of the rows that have at least one event of each type.

    A row with several types counts in each; types that never occur are left out.
    """
    parts = []
    for event_type, column in EVENT_TYPE_COLUMNS.items():
        having = rows.filter(pl.col(column) > 0)
        if having.height:
            parts.append(raw_shares(having, pl.lit(event_type), params))
    return pl.concat(parts) if parts else raw_shares(rows.clear(), pl.lit(""), params)


def partial_dependence(
    predictor: Predictor,
    rows: pl.DataFrame,
    values: Mapping[object, Mapping[str, float]],
    params: Params,
    *,
    most: int = 2_000,
) -> pl.DataFrame:
    """Return the mean probability of each level when inputs are set and the others stay.

    Args:
        predictor: the model.
        rows: labelled rows; at most ``most`` are used, sampled.
        values: what is shown -> the inputs it sets.
        params: bootstrap over blocks of time, the same for every value.

    Returns:
        ``x``, ``level``, ``value``, ``low``, ``high``, ``rows``; in the order of ``values``.
    """
    rows = dataset.sample(rows, most, params.model.seed)
    x = matrix(rows, predictor.features)
    parts = []
    for shown, changes in values.items():
        changed = x.copy()
        for name, value in changes.items():
            changed[:, predictor.features.index(name)] = value
        p = predictor.predict_array(changed).select(PROBABILITIES).to_numpy()
        parts.append(_summary(shown, p, rows, params))
    return _joined(parts, None)


def hours(rows: pl.DataFrame) -> dict[object, dict[str, float]]:
    """Return the hours that occur, for `partial_dependence`."""
    seen = rows["hour_of_day"].unique().sort()
    return {int(hour): {"hour_of_day": float(hour)} for hour in seen}


def search_shares(
    shares: Sequence[float] = SEARCH_SHARES,
) -> dict[object, dict[str, float]]:
    """Return shares of search results among a row's events, for `partial_dependence`."""
    return {share: {"event_type_search_result": share} for share in shares}


def countries(
    codes: Sequence[str], model_countries: Sequence[str]
) -> dict[object, dict[str, float]]:
    """Return those of ``codes`` that have an indicator, for `partial_dependence`."""
    return {
        code: {country_feature(other): float(other == code) for other in model_countries}
        for code in codes
        if code in model_countries
    }


def spread(effect: pl.DataFrame, level: str = "Alta") -> float:
    """Return how far a variable moves the probability of a level: largest less smallest value."""
    values = effect.filter(pl.col("level") == level)["value"].to_list()
    return max(values) - min(values) if values else 0.0


def _summary(shown: object, values: np.ndarray, rows: pl.DataFrame, params: Params) -> pl.DataFrame:
    """Return the mean of each level's column with its interval over resampled blocks."""
    mean, low, high = _block_means(values, rows, params)
    return pl.DataFrame(
        {
            "x": [shown] * len(LEVELS),
            "level": LEVELS,
            "value": mean,
            "low": low,
            "high": high,
            "rows": [rows.height] * len(LEVELS),
        },
        schema_overrides=_SCHEMA,
    )


def _block_means(values: np.ndarray, rows: pl.DataFrame, params: Params) -> np.ndarray:
    block, number = blocks_of(rows, params)
    sums = np.zeros((number, values.shape[1]))
    np.add.at(sums, block, values)
    weights = bootstrap_weights(number, params.model)
    means = (weights @ sums) / (weights @ np.bincount(block, minlength=number))[:, None]
    return interval(means)


def _joined(parts: list[pl.DataFrame], dtype: pl.DataType | None) -> pl.DataFrame:
    if parts:
        return pl.concat(parts)
    return pl.DataFrame(schema={"x": dtype or pl.String, **_SCHEMA})
