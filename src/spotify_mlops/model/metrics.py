"""Scores of predicted levels, with intervals from a bootstrap over blocks of time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from scipy.special import log_softmax

from ..config.params import Params
from ..config.sections import Cost, Model
from ..domain.labels import LEVELS
from ..domain.schemas import METRIC_SCHEMA, PROBABILITIES, ROW_KEY
from ..domain.windows import Windowing
from .dataset import level_codes

CONFIDENCE = 0.95
BINS = 10
"""Equal-width bins of the announced probability, for the calibration error."""

_K = len(LEVELS)


def cost_matrix(cost: Cost) -> np.ndarray:
    """Return the cost of each (true level, predicted level), 3 x 3.

    A track that becomes Alta and was not announced costs ``cost_missed_alta``; one announced as
    Alta that does not become so costs ``cost_false_alta``; Media for Baja or the reverse costs
    ``cost_one_level``.
    """
    costs = np.full((_K, _K), cost.one_level)
    costs[0, :] = cost.missed_alta
    costs[1:, 0] = cost.false_alta
    np.fill_diagonal(costs, 0.0)
    return costs


@dataclass(frozen=True)
class Counts:
    """Sufficient statistics per block: every metric is a function of their (weighted) sum."""

    confusion: np.ndarray
    """(blocks, 3, 3): rows by true and predicted level."""
    bins: np.ndarray | None
    """(blocks, BINS, 3): rows, sum of announced probability, correct; of the predicted level."""
    losses: np.ndarray | None
    """(blocks, 2): sums of -log p of what happened, and of the squared error (Brier)."""

    def resampled(self, weights: np.ndarray) -> Counts:
        """Return the sums under each row of ``weights`` (repetitions, blocks)."""

        def mix(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else np.tensordot(weights, values, axes=1)

        return Counts(mix(self.confusion), mix(self.bins), mix(self.losses))  # type: ignore[arg-type]


def count(frame: pl.DataFrame, params: Params) -> Counts:
    """Count predictions per block of ``bootstrap_block``.

    Args:
        frame: ``window_start``, ``level`` (true), ``predicted``; with `PROBABILITIES`, the
            calibration is counted too.
    """
    block, number = blocks_of(frame, params)
    true, predicted = level_codes(frame["level"]), level_codes(frame["predicted"])
    cell = (block * _K + true) * _K + predicted
    confusion = np.bincount(cell, minlength=number * _K * _K).reshape(number, _K, _K).astype(float)
    if PROBABILITIES[0] not in frame.columns:
        return Counts(confusion, None, None)
    p = frame.select(PROBABILITIES).to_numpy()
    announced = p[np.arange(len(p)), predicted]
    where = block * BINS + np.minimum((announced * BINS).astype(np.int64), BINS - 1)

    def per_bin(weights: np.ndarray) -> np.ndarray:
        return np.bincount(where, weights, minlength=number * BINS).reshape(number, BINS)

    bins = np.stack(
        [per_bin(np.ones(len(p))), per_bin(announced), per_bin(true == predicted)], axis=2
    )
    log_loss = -np.log(np.maximum(p[np.arange(len(p)), true], 1e-15))
    brier = ((p - np.eye(_K)[true]) ** 2).sum(axis=1)
    losses = np.stack(
        [np.bincount(block, values, minlength=number) for values in (log_loss, brier)], axis=1
    )
    return Counts(confusion, bins, losses)


def accuracy(counts: Counts) -> np.ndarray:
    """Return the share of rows whose predicted level is the true one."""
    confusion = counts.confusion
    return _ratio(np.trace(confusion, axis1=-2, axis2=-1), confusion.sum((-2, -1)))


def f1_by_level(counts: Counts) -> np.ndarray:
    """Return F1 = 2 TP / (2 TP + FP + FN) of each level; 0 where a level never occurs."""
    confusion = counts.confusion
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    return _ratio(2 * hits, confusion.sum(-1) + confusion.sum(-2))


def precision_by_level(counts: Counts) -> np.ndarray:
    """Return the share of each predicted level that is right."""
    return _ratio(np.diagonal(counts.confusion, axis1=-2, axis2=-1), counts.confusion.sum(-2))


def recall_by_level(counts: Counts) -> np.ndarray:
    """Return the share of each true level that is found."""
    return _ratio(np.diagonal(counts.confusion, axis1=-2, axis2=-1), counts.confusion.sum(-1))


def macro_f1(counts: Counts) -> np.ndarray:
    """Return the mean of the three levels' F1."""
    return np.asarray(f1_by_level(counts).mean(axis=-1))


def log_loss_of(truth: np.ndarray, scores: np.ndarray) -> float:
    """Return the log loss of scores (rows, 3), whose softmax is the probabilities.

    Args:
        truth: indices into `LEVELS` (rows,).
        scores: in the order of `LEVELS`.
    """
    return -float(log_softmax(scores, axis=1)[np.arange(len(truth)), truth].mean())


def macro_f1_of(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the macro-F1 of predicted levels; both are indices into `LEVELS` (rows,)."""
    table = np.bincount(truth * _K + predicted, minlength=_K * _K).reshape(1, _K, _K)
    return float(macro_f1(Counts(table.astype(float), None, None))[0])


def chance_macro_f1(
    truth: np.ndarray, predicted: np.ndarray, random: np.random.Generator, draws: int
) -> np.ndarray:
    """Return what the same predictions score when they are dealt out at random among the rows.

    Args:
        truth: indices into `LEVELS` (rows,).
        predicted: likewise; only how often each level is predicted matters.
        random: of the draws.
        draws: how many.
    """
    return np.array([macro_f1_of(truth, random.permutation(predicted)) for _ in range(draws)])


def calibration_error(counts: Counts) -> np.ndarray:
    """Return the expected calibration error of the predicted level's probability.

    Sum over bins of (rows in bin / rows) x |accuracy - mean probability| (Naeini et al., 2015;
    Guo et al., 2017).
    """
    assert counts.bins is not None
    rows, announced, correct = np.moveaxis(counts.bins, -1, 0)
    return _ratio(np.abs(correct - announced).sum(-1), rows.sum(-1))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    ratio: np.ndarray = np.divide(
        part, whole, out=np.zeros(np.shape(part)), where=np.asarray(whole) > 0
    )
    return ratio


def _loss(counts: Counts, which: int) -> np.ndarray:
    assert counts.losses is not None
    return _ratio(counts.losses[..., which], counts.confusion.sum((-2, -1)))


def _metrics(cost: Cost, calibrated: bool) -> dict[str, Callable[[Counts], np.ndarray]]:
    costs = cost_matrix(cost)
    known: dict[str, Callable[[Counts], np.ndarray]] = {
        "accuracy": accuracy,
        "macro_f1": macro_f1,
        "cost": lambda c: _ratio((c.confusion * costs).sum((-2, -1)), c.confusion.sum((-2, -1))),
    }
    if calibrated:
        known |= {
            "ece": calibration_error,
            "log_loss": lambda c: _loss(c, 0),
            "brier": lambda c: _loss(c, 1),
        }
    return known


_BY_LEVEL = {"f1": f1_by_level, "precision": precision_by_level, "recall": recall_by_level}


def _block_start(params: Params) -> pl.Expr:
    return Windowing(params.model.bootstrap_block, params.windows.window_offset).start_expr(
        "window_start"
    )


def blocks_of(rows: pl.DataFrame, params: Params) -> tuple[np.ndarray, int]:
    """Return which block of ``bootstrap_block`` each row's window is in, from 0, and how many."""
    block = (
        (rows.select(_block_start(params)).to_series().rank("dense") - 1)
        .to_numpy()
        .astype(np.int64)
    )
    return block, int(block.max()) + 1 if len(block) else 0


def bootstrap_weights(blocks: int, model: Model) -> np.ndarray:
    """Return how often each block is drawn in each repetition; the first row is the data itself."""
    random = np.random.default_rng(model.seed)
    drawn = random.multinomial(
        blocks, np.full(blocks, 1 / blocks), size=model.bootstrap_repetitions
    )
    return np.concatenate([np.ones((1, blocks)), drawn.astype(float)])


def interval(values: np.ndarray) -> np.ndarray:
    """Return estimate and percentile interval, (3, ...), of (1 + repetitions, ...) values."""
    tail = (1 - CONFIDENCE) / 2
    return np.stack([values[0], *np.quantile(values[1:], [tail, 1 - tail], axis=0)])


def score(frame: pl.DataFrame, params: Params) -> pl.DataFrame:
    """Score one model's predictions, whole and by level.

    Args:
        frame: ``window_start``, ``level``, ``predicted`` and optionally `PROBABILITIES`.

    Returns:
        ``slice`` (``all`` or ``level:Alta``...), ``metric``, ``value``, ``low``, ``high`` (95 %
        percentile interval over resampled blocks of ``bootstrap_block``), ``rows``.
    """
    schema = {"slice": pl.String, "metric": pl.String, "value": pl.Float64, "low": pl.Float64,
              "high": pl.Float64, "rows": pl.Int64}  # fmt: skip
    if frame.is_empty():
        return pl.DataFrame(schema=schema)
    counts = count(frame, params)
    mixed = counts.resampled(bootstrap_weights(len(counts.confusion), params.model))
    calibrated = counts.bins is not None
    found = [
        ("all", name, *interval(metric(mixed)).tolist(), frame.height)
        for name, metric in _metrics(params.cost, calibrated).items()
    ]
    of_level = counts.confusion.sum((0, 2)).astype(int)
    for name, by_level in _BY_LEVEL.items():
        values = by_level(mixed)
        found += [
            (f"level:{level}", name, *interval(values[:, i]).tolist(), int(of_level[i]))
            for i, level in enumerate(LEVELS)
        ]
    return pl.DataFrame(found, schema=schema, orient="row")


def slices(frame: pl.DataFrame, by: str, params: Params) -> pl.DataFrame:
    """Score each group of predictions apart.

    Args:
        frame: as for `score`, with the column ``by``.

    Returns:
        As `score`, with ``slice`` = ``<by>:<value>`` and the metrics of the group as a whole.
    """
    parts = []
    for (value,), group in sorted(frame.group_by(by), key=lambda item: str(item[0][0])):
        scored = score(group, params).filter(pl.col("slice") == "all")
        parts.append(scored.with_columns(slice=pl.lit(f"{by}:{value}")))
    return pl.concat(parts) if parts else score(frame, params)


def difference(
    challenger: pl.DataFrame, other: pl.DataFrame, params: Params, metric: str = "macro_f1"
) -> tuple[float, float, float]:
    """Return the metric of ``challenger`` less that of ``other``, with its paired interval.

    Both hold predictions of the same rows; the same blocks are drawn for both.
    """
    a, b = count(challenger, params), count(other, params)
    weights = bootstrap_weights(len(a.confusion), params.model)
    function = _metrics(params.cost, a.bins is not None and b.bins is not None)[metric]
    estimate, low, high = interval(function(a.resampled(weights)) - function(b.resampled(weights)))
    return float(estimate), float(low), float(high)


def over_time(frame: pl.DataFrame, params: Params) -> pl.DataFrame:
    """Return ``time`` (start of the block) and ``macro_f1`` of each block of the range."""
    starts = frame.select(_block_start(params).alias("time")).unique().sort("time")
    return starts.with_columns(macro_f1=pl.Series(macro_f1(count(frame, params))))


def predicted(
    rows: pl.DataFrame, probabilities: np.ndarray, levels: np.ndarray | None = None
) -> pl.DataFrame:
    """Return what a model says of some rows, in the form that is scored here.

    Args:
        rows: labelled rows.
        probabilities: (rows, 3) in the order of `LEVELS`, as ``predict_proba`` gives them for
            `level_codes`.
        levels: indices into `LEVELS` (rows,) of what is announced; without it, the most probable.

    Returns:
        Row key, ``level`` (what happened), ``predicted``, `PROBABILITIES`.
    """
    announced = probabilities.argmax(axis=1) if levels is None else levels
    return rows.select(
        *ROW_KEY,
        "level",
        pl.Series("predicted", np.array(LEVELS)[announced]),
        *(pl.Series(name, probabilities[:, i]) for i, name in enumerate(PROBABILITIES)),
    )


def confusion(frame: pl.DataFrame) -> pl.DataFrame:
    """Return counts: one row per true ``level``, one column per predicted level."""
    cell = level_codes(frame["level"]) * _K + level_codes(frame["predicted"])
    table = np.bincount(cell, minlength=_K * _K).reshape(_K, _K)
    return pl.DataFrame({"level": LEVELS}).with_columns(
        pl.Series(level, table[:, i]) for i, level in enumerate(LEVELS)
    )


def reliability(frame: pl.DataFrame, bins: int = BINS) -> pl.DataFrame:
    """Return announced against observed, for the probability of each level.

    Returns:
        ``level``, ``bin``, ``predicted`` (mean probability), ``observed`` (share of rows that
        became the level), ``rows``; empty bins are left out.
    """
    parts = []
    for level, column in zip(LEVELS, PROBABILITIES, strict=True):
        parts.append(
            frame.lazy()
            .select(
                bin=(pl.col(column) * bins).floor().clip(0, bins - 1).cast(pl.Int64),
                p=column,
                hit=(pl.col("level") == level).cast(pl.Float64),
            )
            .group_by("bin")
            .agg(
                pl.col("p").mean().alias("predicted"),
                pl.col("hit").mean().alias("observed"),
                pl.len().cast(pl.Int64).alias("rows"),
            )
            .sort("bin")
            .select(pl.lit(level).alias("level"), "bin", "predicted", "observed", "rows")
            .collect()
        )
    return pl.concat(parts)


def metrics_rows(
    metrics: pl.DataFrame,
    *,
    run_id: str,
    model: Model,
    written_at: datetime,
) -> pl.DataFrame:
    """Return rows of the table ``spotify_model_metrics``.

    Args:
        metrics: ``model``, ``family``, ``split``, the columns of `score`, and for the checks of
            a verdict ``passed``.
        run_id: of the training run.
        written_at: UTC.
    """
    passed = pl.col("passed") if "passed" in metrics.columns else pl.lit(None)
    return (
        metrics.with_columns(
            written_at=pl.lit(written_at),
            run_id=pl.lit(run_id),
            horizon=pl.lit(model.horizon),
            passed=passed,
        )
        .select(*METRIC_SCHEMA)
        .cast(pl.Schema(METRIC_SCHEMA))
    )
