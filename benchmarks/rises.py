"""What each idea gives for seeing rises coming on real weekly charts, on validation ranges only.

    python benchmarks/rises.py FOLDER [--horizon 4] [--only NAME | --test]

``FOLDER`` has weekly chart CSVs. Three half-years before 2020 are predicted, each by what had
closed before it; nothing from 2020 on is read by any idea. Printed are means over the three: the
average precision of the order of rises and of falls, macro-F1 by the rule of the models, log loss.
With ``--test`` it is the project's own training instead, as it is, on its test range from 2020 on,
and what the gate says of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
import polars as pl
from scipy.special import softmax
from scipy.stats import rankdata
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from spotify_mlops.config import params
from spotify_mlops.config.params import Params
from spotify_mlops.config.spanish import number
from spotify_mlops.domain import features, labels
from spotify_mlops.domain.features import ROW_KEY
from spotify_mlops.domain.windows import Windowing
from spotify_mlops.model import (
    dataset,
    early_detection,
    early_scores,
    gate,
    level_offsets,
    metrics,
    training,
)
from spotify_mlops.model.calibration import Calibration
from spotify_mlops.model.dataset import level_codes, matrix
from spotify_mlops.model.learner import in_parallel
from spotify_mlops.sources import charts

OWN = ["CO", "ES", "MX", "US"]
"""Countries that are predicted."""
MORE = [*OWN, "AR", "CL"]
RANGES = tuple(
    (datetime(*start, 1, tzinfo=UTC), datetime(*end, 1, tzinfo=UTC))
    for start, end in (((2018, 7), (2019, 1)), ((2019, 1), (2019, 7)), ((2019, 7), (2020, 1)))
)
WEEK = timedelta(days=7)
SEED = 7
_SHOWN = [
    *("rise_ap", "rise_precision_at_10", "rise_recall_at_10", "rise_foreseen_at_10"),
    *("rise_lead_at_10", "fall_ap", "fall_precision_at_10"),
]
_TREES = {"max_leaf_nodes": 15, "min_samples_leaf": 400, "max_features": 0.3,
          "l2_regularization": 5.0, "early_stopping": False}  # fmt: skip

Weigh = Callable[[pl.DataFrame], np.ndarray]
Learn = Callable[[pl.DataFrame, pl.DataFrame, Sequence[str]], np.ndarray]
"""Scores of the second frame's rows by what the first tells: (rows, 3), or (rows,) of an order."""


@dataclass(frozen=True)
class World:
    """Labelled rows of the charts, and the inputs that a model of them reads."""

    rows: pl.DataFrame
    names: list[str]


def world(folder: str, horizon: int, countries: list[str], lags: list[int]) -> World:
    """Return the rows of charts before 2020, with ``label_score`` (0 where absent)."""
    settings = params.load("charts", countries=countries, lags=lags, horizon=horizon)
    built, windowing = _built(folder, settings)
    last = RANGES[-1][1]
    told = labels.label(built, horizon, windowing, last, dataset.thresholds(settings.model))
    rows = dataset.join(built, told, settings.model).join(
        told.select(*ROW_KEY, pl.col("label_score").fill_null(0.0)), on=ROW_KEY
    )
    return World(rows, dataset.inputs("dynamics", settings.windows, rows))


def as_it_is(folder: str, horizon: int) -> None:
    """Train as the project does, with ``params/charts.yaml``, and print what the test says."""
    settings = params.load("charts", horizon=horizon)
    built, windowing = _built(folder, settings)
    end = dataset.bounds(built)[1] + windowing.length
    told = labels.label(built, horizon, windowing, end, dataset.thresholds(settings.model))
    result = training.train(settings, built, told, lambda *_: "")
    tested = result.metrics.filter(split="test", slice="all")
    wanted = pl.col("metric").is_in(["macro_f1", *_SHOWN])
    for row in tested.filter(wanted).sort("metric", "value").to_dicts():
        low, high = (number(row[name], 4) for name in ("low", "high"))
        print(f"{row['metric']:24} {row['model']:12} {number(row['value'], 4)} [{low}; {high}]")
    for check in gate.judge(result, settings).checks:
        print(f"gate {check.code:16} {check.passed}  {check.value}  limit {check.limit}")


def _built(folder: str, settings: Params) -> tuple[pl.DataFrame, Windowing]:
    windowing = Windowing.of(settings.windows)
    events = pl.concat(list(charts.read(settings, [folder]).frames))
    return features.reference(events, windowing, features.Inputs.of(settings.windows)), windowing


def trees(
    known: pl.DataFrame,
    rows: pl.DataFrame,
    names: Sequence[str],
    *,
    members: int = 1,
    seed: int = SEED,
    weigh: Weigh | None = None,
    **changes: float,
) -> np.ndarray:
    """Return what the project's classifier of levels says: scores (rows, 3)."""
    settings = {"learning_rate": 0.1, "max_iter": 90} | _TREES | changes
    total = np.zeros((rows.height, 3))
    for index in range(members):
        model = HistGradientBoostingClassifier(**settings, random_state=seed + index)
        model.fit(
            matrix(known, names),
            level_codes(known["level"]),
            sample_weight=None if weigh is None else weigh(known),
        )
        total += model.decision_function(matrix(rows, names))
    return total / members


def head(known: pl.DataFrame, rows: pl.DataFrame, names: Sequence[str]) -> np.ndarray:
    """Return what a second model says that learns from candidates alone whether they rise."""
    known = known.filter(pl.col("current_level") != "Alta")
    model = HistGradientBoostingClassifier(
        **_TREES | {"min_samples_leaf": 100}, learning_rate=0.1, max_iter=90, random_state=SEED
    )
    model.fit(matrix(known, names), (known["level"] == "Alta").to_numpy())
    return np.asarray(model.decision_function(matrix(rows, names)))


def softened(known: pl.DataFrame, rows: pl.DataFrame, names: Sequence[str]) -> np.ndarray:
    """Return a regression of how far over 70 the later score is, on a logistic scale of 6."""
    model = HistGradientBoostingRegressor(
        **_TREES | {"min_samples_leaf": 200}, learning_rate=0.1, max_iter=150, random_state=SEED
    )
    model.fit(matrix(known, names), 1 / (1 + np.exp((70 - known["label_score"].to_numpy()) / 6)))
    return np.asarray(model.predict(matrix(rows, names)))


def both(known: pl.DataFrame, rows: pl.DataFrame, names: Sequence[str]) -> np.ndarray:
    """Return the sum of the ranks of the classifier, of two members, and of the regression."""
    alta = softmax(trees(known, rows, names, members=2), axis=1)[:, 0]
    total: np.ndarray = rankdata(alta) + rankdata(softened(known, rows, names))
    return total


def plain(name: str) -> Learn:
    """Return a plain order as one that learns nothing."""
    return lambda known, rows, names: early_scores.plain_orders(rows)[name]


def moving(weight: float, only_rises: bool = False) -> Weigh:
    """Return weights for rows whose level changes, or only for those that rise to Alta."""

    def weigh(rows: pl.DataFrame) -> np.ndarray:
        changes = rows["level"] != rows["current_level"]
        if only_rises:
            changes &= rows["level"] == "Alta"
        return np.where(changes.to_numpy(), weight, 1.0)

    return weigh


def fading(weeks: float) -> Weigh:
    """Return weights that halve every so many weeks of age."""

    def weigh(rows: pl.DataFrame) -> np.ndarray:
        when = pl.col("window_start")
        age = rows.select((when.max() - when).dt.total_days() / 7).to_series().to_numpy()
        return np.asarray(0.5 ** (age / weeks))

    return weigh


def with_spread(rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, list[str]]]:
    """Return rows with inputs that the project does not have, and their names by what they tell.

    ``spread``: in how many other countries the track is Alta now, best momentum anywhere, weeks
    since it was first seen anywhere and since it was first Alta anywhere, whether it came here
    first. ``history``: weeks since it was last Alta here, best score ever, weeks since its first.
    ``artist``: how many tracks the artist has here, how many of them Alta and how many new, and
    their mean momentum. All of the row's window or earlier.
    """
    alta, here = pl.col("current_level") == "Alta", ["country", "track_id"]
    when = pl.col("window_start")

    def weeks_since(then: pl.Expr, without: float) -> pl.Expr:
        return ((when - then).dt.total_days() / 7).fill_null(without)

    first_alta = pl.when(alta).then(when)
    ordered = rows.sort(*here, "window_start").with_columns(
        _first=when.min().over(here),
        _last_alta=first_alta.forward_fill().over(here),
        peak=pl.col("play_score").fill_null(0).cum_max().over(here),
    )
    places = ["window_start", "track_id"]
    artists = ["window_start", "country", "artist_name"]
    named = ordered.with_columns(
        spread_alta=(alta.sum().over(places) - alta.cast(pl.Int64)).cast(pl.Float64),
        spread_momentum=pl.col("momentum").max().over(places),
        spread_seen=weeks_since(when.min().over("track_id"), 0.0),
        spread_since=weeks_since(
            pl.when(first_alta.min().over("track_id") <= when).then(
                first_alta.min().over("track_id")
            ),
            -1.0,
        ),
        spread_first=(pl.col("_first") == when.min().over("track_id")).cast(pl.Float64),
        history_alta=weeks_since(pl.col("_last_alta"), 200.0),
        history_peak=pl.col("peak"),
        history_seen=weeks_since(pl.col("_first"), 0.0),
        artist_count=pl.len().over(artists).cast(pl.Float64),
        artist_alta=alta.sum().over(artists).cast(pl.Float64),
        artist_new=(pl.col("lags_present") == 0).sum().over(artists).cast(pl.Float64),
        artist_momentum=pl.col("momentum").mean().over(artists),
    ).sort(ROW_KEY)
    new = [name for name in named.columns if name not in rows.columns]
    kinds = ("spread", "history", "artist")
    return named, {kind: [n for n in new if n.startswith(f"{kind}_")] for kind in kinds}


def measure(name: str, learn: Learn, where: World, names: Sequence[str]) -> str:
    """Return one line of the table: an idea's means over the ranges."""
    found = []
    for start, end in RANGES:
        ended = pl.col("label_window") + WEEK
        known = where.rows.filter(ended <= start)
        rows = where.rows.filter(
            (pl.col("window_start") >= start) & (ended <= end) & pl.col("country").is_in(OWN)
        )
        found.append(_values(learn(known, rows, names), rows))
    rises, falls, f1, loss = np.array(found).T
    each = "; ".join(f"{number(value, 3)}" for value in rises)
    return (
        f"{name:32} rises {number(rises.mean(), 4)} ({each})  falls {number(falls.mean(), 4)}  "
        f"macro-F1 {number(f1.mean(), 4)}  log loss {number(loss.mean(), 4)}"
    )


def _values(scores: np.ndarray, rows: pl.DataFrame) -> tuple[float, float, float, float]:
    truth = level_codes(rows["level"])
    order, f1, loss = scores, np.nan, np.nan
    if scores.ndim == 2:
        # Calibrated on the range itself, as the project does on its validation range.
        p = softmax(Calibration.fit(scores, truth).apply(scores), axis=1)
        f1 = metrics.macro_f1_of(truth, level_offsets.decide(p, level_offsets.fit(p)))
        loss = float(-np.log(p[np.arange(len(p)), truth]).mean())
        order = p[:, 0]
    ranked = rows.with_columns(order=pl.Series(order))
    both_ways = []
    for direction in early_detection.DIRECTIONS:
        some = early_detection.candidates(ranked, direction)
        value = early_detection.average_precision(some["order"].to_numpy(), some["hit"].to_numpy())
        both_ways.append(np.nan if value is None else value)
    return both_ways[0], both_ways[1], f1, loss


def ideas(folder: str, horizon: int) -> dict[str, tuple[Learn, World, list[str]]]:
    """Return what is tried: by name, how it learns, from which rows, and which inputs."""
    lags = params.load("charts").windows.lags
    season = sorted({*lags, 52 - horizon})
    base = world(folder, horizon, OWN, lags)
    year = world(folder, horizon, OWN, season)
    wide = world(folder, horizon, MORE, lags)
    rich, more = with_spread(base.rows)
    spread = World(rich, base.names)
    every = [*base.names, *(name for names in more.values() for name in names)]
    slow = partial(trees, members=4, learning_rate=0.06, max_iter=150)
    return {
        "chance": (plain("chance"), base, base.names),
        "today's score": (plain("today_score"), base, base.names),
        "momentum": (plain("momentum"), base, base.names),
        "base": (trees, base, base.names),
        "base, other draws": (partial(trees, seed=8), base, base.names),
        "weight of changes 2": (partial(trees, weigh=moving(2)), base, base.names),
        "weight of changes 4": (partial(trees, weigh=moving(4)), base, base.names),
        "weight of rises 4": (partial(trees, weigh=moving(4, True)), base, base.names),
        "older rows fade, 52 weeks": (partial(trees, weigh=fading(52)), base, base.names),
        "second head": (head, base, base.names),
        "regression over 70": (softened, base, base.names),
        "31 leaves, 100 rows": (
            partial(trees, max_leaf_nodes=31, min_samples_leaf=100), base, base.names,
        ),
        f"lag {52 - horizon} (a year before)": (trees, year, year.names),
        "spread": (trees, spread, [*base.names, *more["spread"]]),
        "history": (trees, spread, [*base.names, *more["history"]]),
        "artist": (trees, spread, [*base.names, *more["artist"]]),
        "spread, history, artist": (trees, spread, every),
        "Argentina and Chile": (trees, wide, wide.names),
        "classifier and regression": (both, base, base.names),
        "4 members, 150 x 0.06": (slow, base, base.names),
    }  # fmt: skip


def main() -> None:
    """Print the table, line by line as it comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--horizon", type=int, default=4)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--test", action="store_true")
    wanted = parser.parse_args()
    if wanted.test:
        as_it_is(wanted.folder, wanted.horizon)
        return
    tried = ideas(wanted.folder, wanted.horizon)
    chosen = [name for name in tried if not wanted.only or name in wanted.only]
    for pair in (chosen[i : i + 2] for i in range(0, len(chosen), 2)):
        for line in in_parallel(lambda name: measure(name, *tried[name]), pair):
            print(line, flush=True)


if __name__ == "__main__":
    main()
