"""Training: candidates on the validation range, one refit, one look at the test range."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from scipy.special import softmax

from ..config import content
from ..config.histories import History
from ..config.params import Params
from ..config.progress import Progress, silent
from ..domain.features import ROW_KEY
from . import (
    baselines,
    bundle,
    candidates,
    dataset,
    early_scores,
    export,
    histories,
    level_offsets,
    looks,
    metrics,
    weaknesses,
)
from .baselines import Prediction
from .calibration import Calibration
from .dataset import Split, level_codes, matrix
from .histories import Tried
from .learner import Hyperparameters, LevelModel, Member, Settings, fit, in_parallel
from .runs import runs_folder
from .training_result import TrainingResult

CANDIDATE_ROWS = 50_000
"""Most rows that a candidate learns from; more are sampled, with ``model_seed``."""

FINAL_ROWS = 125_000
"""Most rows that the final model learns from."""

LOGISTIC_ROWS = 50_000

FAMILY_OF = {
    "majority": "baseline",
    "persistence": "baseline",
    "logistic": "baseline",
    "seed": "seed",
    "dynamics": "dynamics",
}
"""Every model that a run compares, and its family."""


WriteCard = Callable[[Params, dict[str, Any], pl.DataFrame], str]


def train(
    params: Params,
    features: pl.DataFrame,
    labels: pl.DataFrame,
    write_card: WriteCard,
    progress: Progress = silent,
) -> TrainingResult:
    """Train both families and the baselines, and evaluate each once on the test range.

    Args:
        params: split, seed, family of the bundle, bootstrap.
        features: the features table.
        labels: the labels table; those of ``params.horizon`` are used.
        write_card: what the bundle says to people, from the params, its description and the scores
            of every model (``TrainingResult.metrics``).
        progress: called with the code of each step when it starts.

    Raises:
        ParamsError: a range has no rows, or not all levels; the source is one on which training
            is not allowed; or scikit-learn refuses a value of ``model_grid``.
        IntegrityError: the ONNX graph does not agree with the model on a test row.
    """
    content.check_training(params)
    return _Run(params, write_card, progress).result(features, labels)


class _Chosen(NamedTuple):
    """How a family of inputs is to be learned from."""

    family: str
    names: list[str]
    settings: Settings
    history: History
    trial: LevelModel
    """Of the training range, uncalibrated."""
    candidates: pl.DataFrame
    """With their scores."""
    histories: list[Tried]
    """Where several were tried, the best first."""


class _Family(NamedTuple):
    """What became of a family of inputs."""

    chosen: _Chosen
    model: LevelModel
    rows: int
    """That the final model learned from."""
    predictions: list[pl.DataFrame]
    """On the validation range and on the test range."""


class _Run:
    def __init__(self, params: Params, write_card: WriteCard, progress: Progress) -> None:
        self._params = params
        self._write_card = write_card
        self._progress = progress
        self._timings: dict[str, float] = {}
        self._started = datetime.now(UTC)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self._progress(name)
        start = time.perf_counter()
        yield
        self._timings[name] = round(time.perf_counter() - start, 3)

    def result(self, features: pl.DataFrame, labels: pl.DataFrame) -> TrainingResult:
        params = self._params
        began = time.perf_counter()
        with self._step("data"):
            ranges = dataset.split(dataset.join(features, labels, params.model), params)
            names = {
                family: dataset.inputs(family, params.windows, ranges.train)
                for family in ("seed", "dynamics")
            }
        with self._step("baselines"):
            plain = _baselines(ranges, names["dynamics"], params.model.seed)
        # Its candidates use all cores. Afterwards its last fit, of one thread, is what lasts.
        chosen = self._choose("dynamics", ranges, names["dynamics"])
        finish = partial(self._finish, chosen, ranges)
        whole = partial(self._seed, ranges, names["seed"])
        dynamics, seed = in_parallel(lambda made: made(), [finish, whole])
        families = {"seed": seed, "dynamics": dynamics}
        family = params.model.family
        own = families[family]
        with self._step("onnx"):
            model, inputs = own.model, names[family]
            graph = export.to_onnx(model, len(inputs))
            worst = export.check(model, graph, matrix(ranges.test, inputs))
        with self._step("metrics"):
            kept = (plain, *(each.predictions for each in families.values()))
            predictions = pl.concat([frame for frames in kept for frame in frames])
            scored = _score(predictions, ranges, params)
        self._timings["whole"] = round(time.perf_counter() - began, 3)
        boundaries, written = _boundaries(ranges), graph.SerializeToString()
        training = {
            "boundaries": boundaries,
            "earlier_looks": looks.earlier(runs_folder(params), boundaries, written),
            "hyperparameters": own.chosen.candidates.filter("chosen")
            .drop("chosen", "family")
            .row(0, named=True),
            "rows_learned_from": own.rows,
            "histories": [tried.named() for tried in own.chosen.histories],
            "calibration": asdict(model.calibration),
            "decision_offsets": model.offsets,
            "onnx_largest_difference": worst,
            "onnx_rows_checked": ranges.test.height,
            "seed": params.model.seed,
        }
        description = bundle.describe(
            params,
            family=family,
            features=inputs,
            training_end=ranges.training_end,
            data_sha256=dataset.digest(ranges.development, inputs),
            metrics=scored.filter(split="test").drop("split").to_dicts(),
            training=training,
        )
        return TrainingResult(
            run_id=f"{self._started:%Y%m%dT%H%M%S}-h{params.model.horizon}-{family}",
            family=family,
            horizon=params.model.horizon,
            boundaries=boundaries,
            candidates=pl.concat(
                [each.chosen.candidates for each in families.values()], how="diagonal_relaxed"
            ),
            predictions=predictions,
            metrics=scored,
            timings=self._timings,
            description=description,
            card=self._write_card(params, description, scored),
            graph=written,
            model=model,
        )

    def _choose(self, family: str, ranges: Split, names: list[str]) -> _Chosen:
        """Choose a family's settings and history, and fit its members on the training range."""
        seed, model = self._params.model.seed, self._params.model
        # Of the other family only the score is shown, and on the history that is told first.
        wanted = model.histories if family == model.family else model.histories[:1]
        with self._step(f"{family}_candidates"):
            learned = histories.learned(ranges.train, wanted[0], names, CANDIDATE_ROWS, seed)
            validation = matrix(ranges.validation, names), level_codes(ranges.validation["level"])
            grid = candidates.grid(family, len(learned.y), model)
            found = candidates.choose(grid, learned, validation, seed)
            best = min(found, key=lambda candidate: candidate.loss)
            settings, first, history = best.settings, best.member, wanted[0]
            compared: list[Tried] = []
            if wanted[1:]:
                compared = histories.choose(wanted, ranges, names, settings, CANDIDATE_ROWS, seed)
                best_of = compared[0]
                history, learned, first = best_of.history, best_of.learned, best_of.member
            others: tuple[Member, ...] = ()
            if family == "dynamics" and isinstance(settings, Hyperparameters):
                settings = replace(settings, members=model.members)
                rest = replace(settings, members=settings.members - 1)
                if rest.members:
                    others = fit(learned.x, learned.y, rest, seed + 1, learned.weights).members
        tried = pl.DataFrame(
            [
                {"family": family}
                | candidate.settings.named()
                | {"members": settings.members}
                | {"log_loss": candidate.loss, "macro_f1": candidate.macro_f1}
                | {"chosen": candidate is best}
                for candidate in found
            ]
        )
        trial = LevelModel((first, *others))
        return _Chosen(family, names, settings, history, trial, tried, compared)

    def _finish(self, chosen: _Chosen, ranges: Split) -> _Family:
        """Calibrate and refit what was chosen; keep what it predicts."""
        family, names, seed = chosen.family, chosen.names, self._params.model.seed
        x_valid, y_valid = matrix(ranges.validation, names), level_codes(ranges.validation["level"])
        with self._step(f"{family}_calibration"):
            scores = chosen.trial.log_odds(x_valid)
            calibration = Calibration.fit(scores, y_valid)
            offsets = level_offsets.fit(softmax(calibration.apply(scores), axis=1))
            trial = LevelModel(chosen.trial.members, calibration, offsets)
            kept = [_kept(family, "validation", ranges.validation, _predict(trial, x_valid))]
        with self._step(f"{family}_final"):
            learned = histories.learned(ranges.development, chosen.history, names, FINAL_ROWS, seed)
            final = fit(learned.x, learned.y, chosen.settings, seed, learned.weights)
            final = replace(trial, members=final.members)
            prediction = _predict(final, matrix(ranges.test, names))
            kept.append(_kept(family, "test", ranges.test, prediction))
        return _Family(chosen, final, len(learned.y), kept)

    def _seed(self, ranges: Split, names: list[str]) -> _Family:
        return self._finish(self._choose("seed", ranges, names), ranges)


def _baselines(ranges: Split, names: list[str], seed: int) -> list[pl.DataFrame]:
    """Return what the baselines predict."""
    kept = []
    for split, known, rows in (
        ("validation", ranges.train, ranges.validation),
        ("test", ranges.development, ranges.test),
    ):
        learned = dataset.sample(known, LOGISTIC_ROWS, seed)
        (logistic,) = baselines.logistic(learned, [rows], names)
        kept += [
            _kept("majority", split, rows, baselines.majority(known, rows)),
            _kept("persistence", split, rows, baselines.persistence(known, rows)),
            _kept("logistic", split, rows, logistic),
        ]
    return kept


def _kept(model: str, split: str, rows: pl.DataFrame, prediction: Prediction) -> pl.DataFrame:
    levels, p = prediction
    return metrics.predicted(rows, p, levels).select(
        *ROW_KEY,
        pl.lit(split).alias("split"),
        pl.lit(model).alias("model"),
        pl.lit(FAMILY_OF[model]).alias("family"),
        pl.all().exclude(ROW_KEY),
    )


def _predict(model: LevelModel, x: np.ndarray) -> Prediction:
    scores = model.calibrated(x)
    return model.decide(scores), softmax(scores, axis=1)


def _score(predictions: pl.DataFrame, ranges: Split, params: Params) -> pl.DataFrame:
    parts = []
    for (model, split), rows in predictions.group_by("model", "split", maintain_order=True):
        scored = [metrics.score(rows, params)]
        if split == "test":
            scored.append(metrics.slices(rows, "country", params))
            scored.append(weaknesses.score(rows, ranges, params))
        parts.append(
            pl.concat(scored).select(
                pl.lit(model).alias("model"),
                pl.lit(FAMILY_OF[str(model)]).alias("family"),
                pl.lit(split).alias("split"),
                pl.all(),
            )
        )
    for split, rows in (("validation", ranges.validation), ("test", ranges.test)):
        known = ranges.development if split == "test" else None
        found = early_scores.score(predictions.filter(split=split), rows, known, params)
        parts.append(
            found.select(
                "model",
                pl.col("model").replace_strict(FAMILY_OF, default="baseline").alias("family"),
                pl.lit(split).alias("split"),
                pl.all().exclude("model"),
            )
        )
    return pl.concat(parts)


def _boundaries(ranges: Split) -> dict[str, str]:
    return {
        "train_start": dataset.bounds(ranges.train)[0].isoformat(),
        "validation_start": ranges.validation_start.isoformat(),
        "test_start": ranges.test_start.isoformat(),
        "test_end": dataset.bounds(ranges.test, "label_window")[1].isoformat(),
        "training_end": ranges.training_end.isoformat(),
        "train_rows": str(ranges.train.height),
        "validation_rows": str(ranges.validation.height),
        "development_rows": str(ranges.development.height),
        "test_rows": str(ranges.test.height),
    }
