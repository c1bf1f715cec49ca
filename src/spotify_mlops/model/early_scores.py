"""Early detection in a training run: its models and the plain orders, on the same lists."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from ..config.params import Params
from ..domain.labels import score_of
from ..domain.schemas import PROBABILITIES, ROW_KEY
from . import early_detection
from .early_detection import DIRECTIONS, SHOWN, Direction

PLAIN_ORDERS = ("today_score", "momentum", "chance")
"""Rankings that nobody has to learn: the score now, its momentum, and none."""
BASELINES = (*PLAIN_ORDERS, "logistic")
"""What the order of a model is compared with."""
FAMILIES = ("seed", "dynamics")
RANKED_MODELS = ("logistic", *FAMILIES)
"""Models whose probability of Alta is a ranking; the other baselines' are too coarse for one."""
SLICED = (*FAMILIES, "today_score")
"""Rankings that are judged by country, and for new and known tracks, too."""
_OF_SLICES = tuple(
    f"{name}_at_{SHOWN}" for name in ("precision", "recall", "cost", "foreseen", "lead")
)


def plain_orders(rows: pl.DataFrame) -> dict[str, np.ndarray]:
    """Return what `PLAIN_ORDERS` rank rises by, (rows,) each; falls by the reverse.

    Args:
        rows: features: what `labels.score_of` reads, and ``momentum``.
    """
    today = rows.select(score_of(rows.columns).fill_null(0.0).alias("s")).to_series().to_numpy()
    return {
        "today_score": today,
        "momentum": rows["momentum"].fill_null(0.0).to_numpy(),
        "chance": np.zeros(rows.height),
    }


def orders(predictions: pl.DataFrame, rows: pl.DataFrame) -> dict[str, np.ndarray]:
    """Return what each model and each plain order ranks the rows by, in their order.

    Args:
        predictions: of one range, all models': row key, ``model`` and `PROBABILITIES`.
        rows: the range's labelled rows.
    """
    found = {}
    for model in RANKED_MODELS:
        said = predictions.filter(model=model).select(*ROW_KEY, PROBABILITIES[0])
        joined = rows.select(ROW_KEY).join(said, on=ROW_KEY, how="left", maintain_order="left")
        found[model] = joined[PROBABILITIES[0]].to_numpy()
    return found | plain_orders(rows)


def score(
    predictions: pl.DataFrame, rows: pl.DataFrame, known: pl.DataFrame | None, params: Params
) -> pl.DataFrame:
    """Judge every ranking of a range for rises and falls.

    Args:
        predictions: see `orders`.
        rows: the range's labelled rows, features and ``current_level``.
        known: ``country`` and ``track_id`` of the tracks that are not new; with it, some rankings
            are judged by slices too.
        params: see `early_detection.score`.

    Returns:
        ``model`` (or plain order) and the columns of `early_detection.score`. Of the models also
        ``rise_ap_over_<order>``: their average precision less that of a plain order or of the
        logistic regression, with its paired interval.
    """
    base = rows.select(*ROW_KEY, "current_level", "level")
    ranked = orders(predictions, rows)
    parts = []
    for direction in DIRECTIONS:
        frames = {name: base.with_columns(order=pl.Series(o)) for name, o in ranked.items()}
        ap = {
            name: early_detection.resampled_ap(frame, direction, params)
            for name, frame in frames.items()
        }
        candidates = early_detection.candidates(frames["chance"], direction).height
        for name, frame in frames.items():
            scored = [early_detection.score(frame, direction, params, ap[name])]
            if name in FAMILIES:
                scored.append(_advantages(name, ap, direction, candidates))
            if known is not None and name in SLICED:
                scored += _slices(frame, known, direction, params)
            parts.append(pl.concat(scored).select(pl.lit(name).alias("model"), pl.all()))
    return pl.concat(parts)


def _advantages(
    name: str, ap: dict[str, np.ndarray], direction: Direction, candidates: int
) -> pl.DataFrame:
    found = []
    for other in BASELINES:
        over = early_detection.less(ap[name], ap[other]) or (None, None, None)
        found.append(("all", f"{direction}_ap_over_{other}", *over, candidates))
    return pl.DataFrame(found, schema=early_detection.SCORE_SCHEMA, orient="row")


def _slices(
    frame: pl.DataFrame, known: pl.DataFrame, direction: Direction, params: Params
) -> Iterator[pl.DataFrame]:
    """Judge by country, and new and known tracks apart, as `weaknesses` names them."""
    shown = [f"{direction}_{name}" for name in ("ap", *_OF_SLICES)]
    tracks = known.select("country", "track_id", _known=True).unique()
    named = frame.join(
        tracks, on=["country", "track_id"], how="left", maintain_order="left"
    ).with_columns(track=pl.when("_known").then(pl.lit("seen")).otherwise(pl.lit("unseen")))
    for by in ("country", "track"):
        scored = early_detection.slices(named, by, direction, params)
        yield scored.filter(pl.col("metric").is_in(shown))
