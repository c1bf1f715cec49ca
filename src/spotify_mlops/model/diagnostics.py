"""Looking into a model: how much data helps, what it rests on, whether it could be cheating."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from scipy import stats

from ..config.params import Params
from ..config.sections import Model
from ..domain.labels import LEVELS
from . import dataset, metrics
from .dataset import Split, level_codes, matrix
from .learner import Hyperparameters, LevelModel, fit, in_parallel
from .predictor import Predictor

_LIGHT = Hyperparameters(max_iter=60, learning_rate=0.1, min_samples_leaf=100)
"""A quick form of the model: these checks compare, they do not compete."""

_QUICK = Hyperparameters(max_iter=8, learning_rate=0.3, min_samples_leaf=100)
"""Enough trees to give away an answer that is there to be found."""

SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)
MOST_ROWS = 40_000
CHANCE_DRAWS = 40
SHUFFLES = 12


def learning_curve(ranges: Split, params: Params, shares: Sequence[float] = SHARES) -> pl.DataFrame:
    """Return the validation score of models that learned from part of the training rows.

    Args:
        ranges: see `dataset.split`; the test range is not touched.
        params: families' inputs, seed, bootstrap.
        shares: of at most `MOST_ROWS` training rows; the samples are nested.

    Returns:
        ``family``, ``share``, ``rows``, ``macro_f1``, ``low``, ``high``.
    """
    pool = dataset.sample(ranges.train, MOST_ROWS, params.model.seed)
    order = np.random.default_rng(params.model.seed).permutation(pool.height)
    names = {f: dataset.inputs(f, params.windows, ranges.train) for f in ("seed", "dynamics")}
    inputs, y = {f: matrix(pool, names[f]) for f in names}, level_codes(pool["level"])

    parts = {share: np.sort(order[: max(1, round(share * len(order)))]) for share in shares}
    whole = [share for share, part in parts.items() if len(np.unique(y[part])) == len(LEVELS)]

    def score(point: tuple[str, float]) -> tuple[str, float, int, float, float, float]:
        family, share = point
        part = parts[share]
        model = fit(inputs[family][part], y[part], _scaled(len(part)), params.model.seed)
        value, low, high = _macro_f1(model, ranges.validation, names[family], params)
        return family, share, len(part), value, low, high

    points = [(family, share) for family in names for share in whole]
    found = in_parallel(score, points[::-1])[::-1]  # the longest first
    schema = {"family": pl.String, "share": pl.Float64, "rows": pl.Int64, "macro_f1": pl.Float64,
              "low": pl.Float64, "high": pl.Float64}  # fmt: skip
    return pl.DataFrame(found, schema=schema, orient="row")


def shuffled_label_check(ranges: Split, params: Params, shuffles: int = SHUFFLES) -> pl.DataFrame:
    """Compare a model with ones whose training levels were shuffled, and those with chance.

    If they come anywhere near it, the evaluation itself gives the answer away. One of them alone
    may be lucky, since it says the same of a track in window after window: so several are made,
    and the mean of what they score above chance has an interval of 99 of 100 (Student's t).

    Returns:
        ``name``, ``value`` (validation macro-F1), ``low``, ``high`` of ``levels`` (95 of 100),
        and means of the shuffles: ``shuffled`` (what they score), ``chance`` (what their
        predictions score when they are dealt out at random among the rows) and ``excess``, the
        difference. The interval of the first two is their range.
    """
    names = dataset.inputs("dynamics", params.windows, ranges.train)
    pool = dataset.sample(ranges.train, MOST_ROWS // 3, params.model.seed)
    x, y = matrix(pool, names), level_codes(pool["level"])
    model = fit(x, y, _scaled(len(y)), params.model.seed)
    rows, truth = matrix(ranges.validation, names), level_codes(ranges.validation["level"])

    def shuffled(random: np.random.Generator) -> tuple[float, float]:
        seed = int(random.integers(2**31))
        predicted = fit(x, random.permutation(y), _QUICK, seed).predict(rows)
        by_chance = metrics.chance_macro_f1(truth, predicted, random, CHANCE_DRAWS)
        return metrics.macro_f1_of(truth, predicted), float(by_chance.mean())

    draws = np.random.default_rng(params.model.seed).spawn(shuffles)
    scores, chance = np.array(in_parallel(shuffled, draws)).T
    excess = scores - chance
    reach = stats.t.ppf(0.995, shuffles - 1) * excess.std(ddof=1) / np.sqrt(shuffles)
    mean = float(excess.mean())
    found = [
        ("levels", *_macro_f1(model, ranges.validation, names, params)),
        ("shuffled", float(scores.mean()), float(scores.min()), float(scores.max())),
        ("chance", float(chance.mean()), float(chance.min()), float(chance.max())),
        ("excess", mean, float(mean - reach), float(mean + reach)),
    ]
    schema = {"name": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    return pl.DataFrame(found, schema=schema, orient="row")


def added_input(
    ranges: Split, expression: pl.Expr, params: Params, most: int = 15_000
) -> pl.DataFrame:
    """Return what one more input is worth on the validation range.

    Two quick models learn from the same rows, without it and with it.

    Args:
        ranges: see `dataset.split`; the test range is not touched.
        expression: gives the input, a number a row, of the columns of the labelled rows.
        params: family, seed, bootstrap.
        most: training rows used, sampled.

    Returns:
        ``name`` (``without``, ``with``, ``difference``), ``value``, ``low``, ``high``: macro-F1
        with its interval, and the paired difference with its own.
    """
    own = "added_input"
    train, validation = (
        part.with_columns(expression.cast(pl.Float64).alias(own))
        for part in (ranges.train, ranges.validation)
    )
    learned = dataset.sample(train, most, params.model.seed)
    names = dataset.inputs(params.model.family, params.windows, ranges.train)
    found = []
    for read in (names, [*names, own]):
        x, y = matrix(learned, read), level_codes(learned["level"])
        model = fit(x, y, _scaled(len(y)), params.model.seed)
        p = model.predict_proba(matrix(validation, read))
        found.append(metrics.predicted(validation, p))
    scored = [
        metrics.score(frame, params).filter(slice="all", metric="macro_f1") for frame in found
    ]
    without, having = (frame.select("value", "low", "high").row(0) for frame in scored)
    rows = [
        ("without", *without),
        ("with", *having),
        ("difference", *metrics.difference(found[1], found[0], params)),
    ]
    schema = {"name": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def permutation_importance(
    predictor: Predictor,
    rows: pl.DataFrame,
    model: Model,
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    most: int = 2_500,
    repeats: int = 4,
) -> pl.DataFrame:
    """Return how much macro-F1 the model loses when an input is shuffled among the rows.

    Inputs that say nearly the same hide each other's weight; shuffled together (``groups``) they
    show it (Breiman, 2001; Fisher et al., 2019).

    Args:
        predictor: the model.
        rows: labelled rows that it has not learned from.
        model: seed.
        groups: name -> inputs shuffled together; by default each input alone.
        most: rows used, sampled.
        repeats: shufflings; the interval is their range.

    Returns:
        ``name``, ``value``, ``low``, ``high``, the largest loss first.
    """
    rows = dataset.sample(rows, most, model.seed)
    x, y = matrix(rows, predictor.features), rows["level"]
    groups = groups or {name: [name] for name in predictor.features}
    random = np.random.default_rng(model.seed)
    whole = _plain_macro_f1(predictor, x, y)
    found = []
    for name, members in groups.items():
        columns = [predictor.features.index(m) for m in members if m in predictor.features]
        if not columns:
            continue
        losses = []
        for _ in range(repeats):
            changed = x.copy()
            changed[:, columns] = x[random.permutation(len(x))][:, columns]
            losses.append(whole - _plain_macro_f1(predictor, changed, y))
        found.append((name, float(np.mean(losses)), min(losses), max(losses)))
    schema = {"name": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    return pl.DataFrame(found, schema=schema, orient="row").sort("value", descending=True)


def input_groups(features: Sequence[str]) -> dict[str, list[str]]:
    """Return the inputs by what they tell, for `permutation_importance`."""
    groups: dict[str, list[str]] = {}
    for name in features:
        groups.setdefault(_group_of(name), []).append(name)
    return groups


_GROUPS = {
    "hour": ("hour_of_day",),
    "calendar": ("day_of_week", "year_sin", "year_cos"),
    "signals": (
        "event_type_search_result", "log_searches", "log_recommendations", "log_releases",
    ),
    "skips": ("skip_rate",),
    "artist": ("artist_tracks", "artist_best_score"),
    "age": ("age", "age_from_release", "lags_present"),
    "now": (
        "country_rank", "attention_rank", "log_plays", "plays_over_p40", "plays_over_p70",
        "api_popularity", "api_known",
    ),
}  # fmt: skip


def _group_of(name: str) -> str:
    for group, members in _GROUPS.items():
        if name in members:
            return group
    if name.startswith("country_"):
        return "country"
    elsewhere = name.startswith(("other_", "plays_in_", "plays_momentum_in_"))
    return "elsewhere" if elsewhere else "history"


def _scaled(rows: int) -> Hyperparameters:
    leaf = min(_LIGHT.min_samples_leaf, max(5, rows // 100))
    return Hyperparameters(**(vars(_LIGHT) | {"min_samples_leaf": leaf}))


def _macro_f1(
    model: LevelModel, rows: pl.DataFrame, names: Sequence[str], params: Params
) -> tuple[float, float, float]:
    predicted = np.array(LEVELS)[model.predict(matrix(rows, names))]
    frame = rows.select("window_start", "level").with_columns(predicted=pl.Series(predicted))
    found = metrics.score(frame, params).filter(slice="all", metric="macro_f1")
    return found.select("value", "low", "high").row(0)


def _plain_macro_f1(predictor: Predictor, x: np.ndarray, level: pl.Series) -> float:
    return metrics.macro_f1_of(level_codes(level), level_codes(predictor.predict_array(x)["level"]))
