"""How well a ranking finds, ahead of time, the tracks that will change: those that rise or fall.

Most of a level's score is "stays as it is". What an editor acts on is a list: of the tracks that
are not Alta now, the k that will most surely be (a *rise*); of those that are, the k that will
not (a *fall*). Here a ranking is judged as such a list, and against plain ones: the order of
today's score, of its momentum, and no order at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

import numpy as np
import polars as pl

from ..config.params import Params
from ..config.sections import Cost
from ..domain.labels import LEVELS
from ..domain.schemas import ROW_KEY
from ..domain.windows import EPOCH, Windowing
from . import metrics

Direction = Literal["rise", "fall"]
DIRECTIONS: tuple[Direction, ...] = ("rise", "fall")
LIST_SIZES = (5, 10, 20)
"""Tracks of a list: one list a country and window."""
SHOWN = 10
"""The list size that is told where only one is."""
_TOP = LEVELS[0]
_LIST = ("window_start", "country")
SCORE_SCHEMA = {"slice": pl.String, "metric": pl.String, "value": pl.Float64, "low": pl.Float64,
           "high": pl.Float64, "rows": pl.Int64}  # fmt: skip


def average_precision(score: np.ndarray, hit: np.ndarray) -> float | None:
    """Return the average precision of a ranking: sum over thresholds of (R_n - R_n-1) P_n.

    Rows with equal scores are above or below a threshold together, so their order is no matter
    (the definition of scikit-learn's ``average_precision_score``).

    Args:
        score: (rows,); higher comes first.
        hit: (rows,) of bool.

    Returns:
        In (0, 1]; None where nothing hits: there is nothing to find.
    """
    one = np.zeros(len(score), dtype=np.int64)
    value = float(_weighted_ap(score, hit, one, np.ones((1, 1)))[0])
    return None if np.isnan(value) else value


def resampled_ap(rows: pl.DataFrame, direction: Direction, params: Params) -> np.ndarray:
    """Return the average precision of a ranking: of the data, then of each resampled range.

    Args:
        rows: as for `score`.
        direction: see `score`.
        params: bootstrap; of the same rows, the same blocks are drawn for every ranking.

    Returns:
        (1 + repetitions,); NaN where there is nothing to find.
    """
    found = candidates(rows, direction)
    if found.is_empty():
        return np.full(1, np.nan)
    block, number = metrics.blocks_of(found, params)
    weights = metrics.bootstrap_weights(number, params.model)
    return _weighted_ap(found["order"].to_numpy(), found["hit"].to_numpy(), block, weights)


def score(
    rows: pl.DataFrame, direction: Direction, params: Params, ap: np.ndarray | None = None
) -> pl.DataFrame:
    """Judge a ranking whole.

    Args:
        rows: row key, ``current_level``, ``level`` (true, at the horizon) and ``order``, higher
            for what is the more likely to rise; of all levels, each row once.
        direction: ``rise`` looks for Alta among what is not; ``fall`` the reverse, in the
            opposite order.
        params: horizon and window, costs, bootstrap.
        ap: what `resampled_ap` gives of it, where that is known.

    Returns:
        As `metrics.score`, ``slice`` = ``all``; each metric begins with the direction:

        - ``rise_ap``: average precision over all candidates.
        - ``rise_precision_at_10``, ``rise_recall_at_10``: of the lists of the first 10 candidates
          of each country and window, the share that hits, and the share of all that hit that is
          on them. Among equal scores, what a random order gives on average.
        - ``rise_cost_at_10``: cost per candidate of acting on those lists alone; ``_at_0`` of
          acting on none. A rise costs ``cost_missed_alta`` if not listed, and a listed track that
          does not rise ``cost_false_alta``; a listed track that does not fall is given up for
          nothing (``cost_missed_alta``), a fall not listed is a false Alta.
        - ``rise_foreseen_at_10``: of the tracks that reach the level for the first time in the
          range, the share that was on the last list before; ``rise_lead_at_10``: of those, since
          how many windows, on average: from the first list of those that they were on without a
          gap. (Whoever was ever on one is not counted: an order that changes all the time has
          everybody on some list.)

        ``rows`` are the candidates (of the last two, the tracks); where there is nothing to find
        ``value``, ``low`` and ``high`` are null, not 0. Intervals as in `metrics.score`; of
        resampled ranges in which there is nothing to find there is no value.
    """
    found = candidates(rows, direction)
    if found.is_empty():
        return pl.DataFrame(schema=SCORE_SCHEMA)
    measured = [("ap", resampled_ap(rows, direction, params) if ap is None else ap, found.height)]
    steps = _steps(found)
    # The lists are of the candidates' windows, so their blocks, and draws, are the same for each k.
    block, number = metrics.blocks_of(_outcomes(steps, 0), params)
    weights = metrics.bootstrap_weights(number, params.model)
    for k in (0, *LIST_SIZES):
        lists = _outcomes(steps, k)
        at = lists.select("listed", "found", "hits", "candidates", block=pl.Series(block))
        sums = weights @ _per_block(at, number)
        measured += [
            (f"{name}_at_{k}", values, found.height)
            for name, values in _list_metrics(sums, direction, params.cost).items()
            if k or name == "cost"
        ]
    arrivals = _arrivals(rows, found, direction, params)
    if arrivals.height:
        block, number = metrics.blocks_of(arrivals, params)
        weights = metrics.bootstrap_weights(number, params.model)
        arrivals = arrivals.with_columns(block=pl.Series(block))
        for k in LIST_SIZES:
            lead = pl.col(f"lead_{k}")
            sums = weights @ _per_block(
                arrivals.select("block", lead.is_not_null(), lead.fill_null(0).alias("windows"))
                .with_columns(tracks=1),
                number,
            )  # fmt: skip
            listed, windows, tracks = sums.T
            measured += [
                (f"foreseen_at_{k}", _ratio(listed, tracks), arrivals.height),
                (f"lead_at_{k}", _ratio(windows, listed), int(listed[0])),
            ]
    told = [("all", f"{direction}_{name}", *_interval(v), n) for name, v, n in measured]
    return pl.DataFrame(told, schema=SCORE_SCHEMA, orient="row")


def slices(rows: pl.DataFrame, by: str, direction: Direction, params: Params) -> pl.DataFrame:
    """Judge a ranking in each group of rows apart; ``slice`` is ``<by>:<value>``.

    The lists are of the group's own candidates: with ``by`` other than the country, those of a
    list that has only them.
    """
    parts = [
        score(group, direction, params).with_columns(slice=pl.lit(f"{by}:{value}"))
        for (value,), group in sorted(rows.group_by(by), key=lambda item: str(item[0][0]))
    ]
    return pl.concat(parts) if parts else pl.DataFrame(schema=SCORE_SCHEMA)


def difference(
    rows: pl.DataFrame, other: Sequence[float] | np.ndarray, direction: Direction, params: Params
) -> tuple[float, float, float] | None:
    """Return the average precision of a ranking less that of another, with its paired interval.

    Args:
        rows: as for `score`.
        other: what the other ranks the same rows by, (rows,).
        direction: see `score`.
        params: bootstrap; the same blocks are drawn for both.

    Returns:
        Estimate, low and high; None where there is nothing to find.
    """
    ranked = rows.with_columns(order=pl.Series(np.asarray(other, float)))
    own, others = (resampled_ap(each, direction, params) for each in (rows, ranked))
    return less(own, others)


def less(own: np.ndarray, other: np.ndarray) -> tuple[float, float, float] | None:
    """Return what `difference` does, of two rankings' `resampled_ap` of the same rows."""
    estimate, low, high = _interval(own - other)
    return None if estimate is None or low is None or high is None else (estimate, low, high)


def outcomes(rows: pl.DataFrame, direction: Direction, k: int) -> pl.DataFrame:
    """Return how each list of the first k candidates turned out, one row a window and country.

    Args:
        rows: as for `score`.
        direction: see `score`.
        k: length of the lists.

    Returns:
        ``window_start``, ``country``, ``listed`` (rows), ``found`` (of those, how many hit; a
        fraction where equal scores compete for the last places: the mean over their orders),
        ``hits`` and ``candidates`` (of the whole window and country); sorted.
    """
    return _outcomes(_steps(candidates(rows, direction)), k)


def _steps(found: pl.DataFrame) -> pl.DataFrame:
    """Return the steps of each list, a row a score: candidates above it, at it and hits at it."""
    return (
        found.group_by(*_LIST, "order")
        .agg(rows=pl.len().cast(pl.Int64), hits=pl.col("hit").sum().cast(pl.Int64))
        .sort(*_LIST, "order", descending=[False, False, True])
        .with_columns(above=pl.col("rows").cum_sum().over(_LIST) - pl.col("rows"))
    )


def _outcomes(steps: pl.DataFrame, k: int) -> pl.DataFrame:
    taken = (k - pl.col("above")).clip(0, pl.col("rows"))
    return steps.group_by(_LIST, maintain_order=True).agg(
        listed=taken.sum(),
        found=(pl.col("hits") * taken / pl.col("rows")).sum(),
        hits=pl.col("hits").sum(),
        candidates=pl.col("rows").sum(),
    )


def listed(k: int) -> pl.Expr:
    """Return whether a candidate is on its country's and window's list of k, however ties fall.

    >>> rows = pl.DataFrame({"window_start": [1] * 4, "country": ["CO"] * 4,
    ...                      "order": [0.9, 0.5, 0.5, 0.1]})
    >>> rows.select(one=listed(1), two=listed(2), three=listed(3)).rows()
    [(True, True, True), (False, False, True), (False, False, True), (False, False, False)]
    """
    return pl.col("order").rank("max", descending=True).over(_LIST) <= k


def candidates(rows: pl.DataFrame, direction: Direction) -> pl.DataFrame:
    """Return the rows that may change, with ``hit``, and ``order`` so that the likeliest is first.

    A negative zero would be another score than zero to some and not to others: it is added away.
    """
    is_top = pl.col("level") == _TOP
    now_top = pl.col("current_level") == _TOP
    rises = direction == "rise"
    return rows.filter(~now_top if rises else now_top).with_columns(
        hit=is_top if rises else ~is_top,
        order=(pl.col("order") if rises else -pl.col("order")) + 0.0,
    )


def _weighted_ap(
    order: np.ndarray, hit: np.ndarray, block: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the average precision under each row of ``weights`` (repetitions, blocks).

    Recall moves only at scores that a hit has, so it is enough to count, per block, the rows
    between one such score and the next.
    """
    steps = np.unique(order[hit])[::-1]
    if not len(steps):
        return np.full(len(weights), np.nan)
    # The first step that is not above the row: the threshold from which on it is counted.
    step = np.searchsorted(-steps, -order, side="left")
    counted = step < len(steps)
    cell = block[counted] * len(steps) + step[counted]
    shape = (weights.shape[1], len(steps))
    rows = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    hits = np.bincount(cell[hit[counted]], minlength=shape[0] * shape[1]).reshape(shape)
    found = np.empty(len(weights))
    for index, weight in enumerate(weights):  # one at a time: the whole would not fit in a cache
        gained = weight @ hits
        precision = _ratio(gained.cumsum(), (weight @ rows).cumsum())
        total = gained.sum()
        found[index] = np.nansum(gained * precision) / total if total else np.nan
    return found


def _list_metrics(sums: np.ndarray, direction: Direction, cost: Cost) -> dict[str, np.ndarray]:
    listed, found, hits, rows = sums.T
    missed, idle = cost.missed_alta, cost.false_alta
    if direction == "fall":
        missed, idle = idle, missed
    return {
        "precision": _ratio(found, listed),
        "recall": _ratio(found, hits),
        "cost": _ratio((listed - found) * idle + (hits - found) * missed, rows),
    }


def _arrivals(
    rows: pl.DataFrame, found: pl.DataFrame, direction: Direction, params: Params
) -> pl.DataFrame:
    """Return the tracks that reach the level after a row without it.

    Returns:
        ``country``, ``track_id``, ``window_start`` (the first in which it is known to have it) and
        for each list size ``lead_<k>``: windows since it is on every list up to then, null if it
        was not on the last.
    """
    windowing = Windowing.of(params.windows)
    key = ("country", "track_id")
    reached = pl.col("known") == _TOP if direction == "rise" else pl.col("known") != _TOP
    later = windowing.shift_expr("window_start", params.model.horizon)
    known = pl.concat(
        [
            rows.select(*ROW_KEY, known="current_level"),
            rows.select(later.alias("window_start"), *key, known="level"),
        ]
    )
    first = known.group_by(key).agg(
        seen=pl.col("window_start").min(), reached=pl.col("window_start").filter(reached).min()
    )
    tracks = first.filter(pl.col("seen") < pl.col("reached"))
    waited = (pl.col("reached") - pl.col("begun")).dt.total_microseconds()
    windows = waited / (windowing.length // timedelta(microseconds=1))
    when, on = pl.col("window_start"), pl.col("on")
    for k in LIST_SIZES:
        before = (
            found.with_columns(on=listed(k))
            .join(tracks.select(*key, "reached"), on=key)
            .filter(when < pl.col("reached"))
        )
        leads = (
            before.group_by(key)
            .agg(
                begun=when.filter(on & (when > when.filter(~on).max().fill_null(EPOCH))).min(),
                reached=pl.col("reached").first(),
            )
            .select(*key, windows.alias(f"lead_{k}"))
        )
        tracks = tracks.join(leads, on=key, how="left")
    return tracks.rename({"reached": "window_start"}).sort(key)


def _per_block(sums: pl.DataFrame, number: int) -> np.ndarray:
    """Return the sums of each ``block`` of the other columns, (blocks, columns)."""
    names = [name for name in sums.columns if name != "block"]
    at = sums["block"].to_numpy()
    columns = [np.bincount(at, sums[name].to_numpy(), minlength=number) for name in names]
    return np.stack(columns, axis=1)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, NaN where there is no whole."""
    empty = np.full(np.shape(part), np.nan)
    divided: np.ndarray = np.divide(part, whole, out=empty, where=np.asarray(whole) > 0)
    return divided


def _interval(values: np.ndarray) -> tuple[float | None, float | None, float | None]:
    """Return `metrics.interval` of the repetitions that have a value; None for what has none."""
    if np.isnan(values[0]):
        return None, None, None
    known = values[~np.isnan(values)]
    if len(known) == 1:
        return float(known[0]), None, None
    estimate, low, high = metrics.interval(known)
    return float(estimate), float(low), float(high)
