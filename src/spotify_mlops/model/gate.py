"""The gate: may the challenger serve? Every check says what it asked and what it found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal

import polars as pl

from ..config.errors import UserError
from ..config.params import Params
from ..config.sections import Gate
from ..domain.features import ROW_KEY
from ..domain.schemas import METRIC_SCHEMA, PROBABILITIES
from . import early_detection, early_scores, metrics
from .latency import Latency, measure
from .predictor import Predictor
from .promotions import PromotionHistory
from .training_result import TrainingResult

FEWEST_ROWS = 200
FEWEST_BLOCKS = 2
"""Rows and blocks of the bootstrap with which a comparison is worth making."""

SPLIT = "gate"
"""``split`` of the verdict's rows in ``spotify_model_metrics``."""

_METRICS_SCHEMA = METRIC_SCHEMA.only("slice", "metric", "value", "low", "high", "rows", "passed")
_LABEL_CHARACTERS = 63

Criterion = Literal[
    "accuracy", "macro_f1", "persistence", "calibration", "latency", "row_time", "champion",
    "rises", "rises_baseline", "rises_champion",
]  # fmt: skip
"""What a check is of. ``latency`` is in milliseconds and ``row_time`` in microseconds, the others
are scores; ``champion`` is the challenger's macro-F1 less the champion's, and ``rises`` its average
precision for the tracks that rise, less another's in the last two."""
NotCompared = Literal["no_champion", "other_task", "too_few_rows", "nothing_rises"]


@dataclass(frozen=True)
class Check:
    """One criterion: the limit, what was found, and whether it will do."""

    code: Criterion
    passed: bool
    limit: float
    value: float | None = None
    """None where nothing was compared."""
    low: float | None = None
    high: float | None = None
    rows: int | None = None
    """It rests on."""
    country: str | None = None
    """In which the champion was compared; None is all of them."""
    champion: str | None = None
    """``popularity@3``."""
    not_compared: NotCompared | None = None
    """Why there is no value."""
    blocks: int | None = None
    """Of the bootstrap, where they were too few."""
    baseline: str | None = None
    """The order that comes closest to the challenger's, of those that nobody need learn."""
    learned_until: datetime | None = None
    """End of what the champion has learned from, where that left too few rows."""

    @property
    def slice(self) -> str:
        """Return the slice of the test range that it is of, as `metrics` name them."""
        return "all" if self.country is None else f"country:{self.country}"


@dataclass(frozen=True)
class Verdict:
    """What the gate found of a training run."""

    checks: tuple[Check, ...]

    @property
    def approved(self) -> bool:
        """Tell whether every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """Return the checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)


@dataclass(frozen=True)
class Champion:
    """The model in service, on the rows where it can be compared with the challenger."""

    name: str
    """``popularity@3``."""
    training_end: datetime
    """End of the last window that it has learned from."""
    predictions: pl.DataFrame | None
    """In `TrainingResult.of` form, of the windows that it has not learned from. None when it
    predicts another horizon or reads inputs that the rows do not have."""


def judge(result: TrainingResult, params: Params, champion: Champion | None = None) -> Verdict:
    """Judge a run's model on its test range.

    Args:
        result: of the training run.
        params: the ``gate_*`` limits.
        champion: see `champion_predictions`; None when no model is in service.

    Returns:
        Approved when every check passed: accuracy and macro-F1 reach their floors, the advantage
        over persistence is positive with its whole interval, calibration error and latency are
        within their limits, and against the champion, on rows that neither has learned from, the
        paired interval of the difference lies above ``-gate_country_regression`` and not wholly
        below zero, and no country loses more than that. With too few such rows a champion stays.
        For rises, the average precision reaches ``gate_min_rise_lift`` times that of chance, and
        the paired interval of its difference from each baseline, and from the champion, does not
        lie wholly below zero.

    Raises:
        UserError: the run is of a release that did not measure rises.
    """
    own = result.of(result.family)
    rows = own.height
    scored = {
        row["metric"]: (row["value"], row["low"], row["high"])
        for row in result.metrics.filter(model=result.family, split="test", slice="all").to_dicts()
    }
    accuracy, macro_f1, ece = (scored[name] for name in ("accuracy", "macro_f1", "ece"))
    least_accuracy, least_f1 = params.gate.min_accuracy, params.gate.min_macro_f1
    advantage = metrics.difference(own, result.of("persistence"), params)
    latency = measure(result.graph, len(result.description["features"]))
    return Verdict(
        (
            Check("accuracy", accuracy[0] >= least_accuracy, least_accuracy, *accuracy, rows),
            Check("macro_f1", macro_f1[0] >= least_f1, least_f1, *macro_f1, rows),
            Check("persistence", advantage[1] > 0, 0.0, *advantage, rows),
            Check("calibration", ece[0] <= params.gate.max_ece, params.gate.max_ece, *ece, rows),
            *_finds_rises(result, params.gate),
            *_fast_enough(latency, params.gate),
            *_against_champion(own, champion, params),
            *_rises_against_champion(result, champion, params),
        )
    )


def champion_predictions(
    promotions: PromotionHistory, result: TrainingResult, features: pl.DataFrame
) -> Champion | None:
    """Return the serving champion with what it predicts for the run's test rows.

    None when no model is in service.

    Raises:
        IntegrityError: the champion's bundle is not what was registered.
        UserError: the features do not cover the test range.
    """
    version = promotions.champion()
    if version is None:
        return None
    predictor = Predictor.load(promotions.bundle(version))
    trained = predictor.bundle.training_end
    same_task = predictor.bundle.description["horizon"] == result.horizon
    if not same_task or not set(predictor.features) <= set(features.columns):
        return Champion(predictor.name, trained, None)
    truth = result.of(result.family).select(*ROW_KEY, "level")
    rows = truth.join(features, on=ROW_KEY, how="inner", maintain_order="left")
    if rows.height != truth.height:
        raise UserError("Las variables no cubren el rango de prueba: entrene de nuevo.")
    rows = rows.filter(pl.col("window_start") >= trained)
    predicted = predictor.predict(rows).rename({"level": "predicted"})
    found = rows.select(*ROW_KEY, "level").hstack(predicted.select("predicted", *PROBABILITIES))
    return Champion(predictor.name, trained, found)


def metrics_of(verdict: Verdict, result: TrainingResult) -> pl.DataFrame:
    """Return the verdict as rows for `metrics.metrics_rows`: one a check, and ``approved``.

    ``metric`` is the check's code, and a country's check has its ``slice``; ``passed`` says
    whether it passed.
    """
    rows = verdict.checks[0].rows
    approved = ("all", "approved", float(verdict.approved), None, None, rows, verdict.approved)
    checks = [(c.slice, c.code, c.value, c.low, c.high, c.rows, c.passed) for c in verdict.checks]
    return pl.DataFrame([*checks, approved], schema=_METRICS_SCHEMA, orient="row").select(
        pl.lit(result.family).alias("model"),
        pl.lit(result.family).alias("family"),
        pl.lit(SPLIT).alias("split"),
        pl.all(),
    )


def labels(verdict: Verdict) -> dict[str, str]:
    """Return the verdict as labels of a registered version.

    Keys and values keep to Vertex AI's rules: lower-case letters, digits, ``-`` and ``_``, at
    most 63 characters, the key beginning with a letter. ``gate`` is ``passed`` or ``failed``, and
    ``gate_<check>`` is ``passed`` or ``failed`` with the value found: ``passed-0_755``; ``-`` in
    place of a minus sign is ``m``.
    """
    found = {"gate": _passed(verdict.approved)}
    for check in verdict.checks:
        name = "_".join(filter(None, ("gate", check.code, check.country)))
        value = "" if check.value is None else f"-{_value_label(check.value)}"
        found[_label(name)[:_LABEL_CHARACTERS]] = _passed(check.passed) + value
    return found


def _passed(passed: bool) -> str:
    return "passed" if passed else "failed"


def _value_label(value: float) -> str:
    return f"{value:.3f}".replace("-", "m").replace(".", "_")


def _label(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "_", text.lower())


def _finds_rises(result: TrainingResult, gate: Gate) -> Iterator[Check]:
    scored = result.metrics.filter(split="test", slice="all")

    def of(model: str, metric: str) -> dict[str, Any]:
        found = scored.filter(model=model, metric=metric)
        if found.is_empty():
            raise UserError(
                f"El entrenamiento {result.run_id} es de una versión anterior, que no medía lo que "
                "sube: entrena otra vez."
            )
        return found.row(0, named=True)

    own, chance = of(result.family, "rise_ap"), of("chance", "rise_ap")
    if own["value"] is None:
        yield Check("rises", True, 0.0, rows=own["rows"], not_compared="nothing_rises")
        return
    limit = gate.min_rise_lift * chance["value"]
    found = own["value"], own["low"], own["high"]
    yield Check("rises", own["value"] >= limit, limit, *found, own["rows"])
    over = {name: of(result.family, f"rise_ap_over_{name}") for name in early_scores.BASELINES}
    # The one that is surely better, if any is; else the one that comes closest.
    name = min(over, key=lambda other: (_least(over[other]["high"]) >= 0, over[other]["value"]))
    least = over[name]
    yield Check(
        "rises_baseline", _least(least["high"]) >= 0, 0.0, least["value"], least["low"],
        least["high"], own["rows"], baseline=name,
    )  # fmt: skip


def _least(high: float | None) -> float:
    """Return the upper end of an interval; without one, nothing is sure."""
    return 0.0 if high is None else high


def _rises_against_champion(
    result: TrainingResult, champion: Champion | None, params: Params
) -> Iterator[Check]:
    """Compare the orders of what may rise, where `_against_champion` compared the levels."""
    if champion is None or champion.predictions is None:
        return
    now = result.of("persistence").select(*ROW_KEY, current_level="predicted")
    theirs = champion.predictions.select(*ROW_KEY, theirs=PROBABILITIES[0])
    rows = (
        result.of(result.family)
        .select(*ROW_KEY, "level", order=PROBABILITIES[0])
        .join(now, on=ROW_KEY, maintain_order="left")
        .join(theirs, on=ROW_KEY, maintain_order="left")
    )
    if rows.height < FEWEST_ROWS or metrics.blocks_of(rows, params)[1] < FEWEST_BLOCKS:
        return  # the comparison of the levels says why
    found = early_detection.difference(rows, rows["theirs"].to_numpy(), "rise", params)
    named = partial(Check, "rises_champion", limit=0.0, rows=rows.height, champion=champion.name)
    if found is None:
        yield named(passed=True, not_compared="nothing_rises")
        return
    yield named(passed=found[2] >= 0, value=found[0], low=found[1], high=found[2])


def _fast_enough(found: Latency, gate: Gate) -> tuple[Check, Check]:
    one_row, limit = found.one_row_p99 * 1e3, gate.max_latency.total_seconds() * 1e3
    batch_row, row_limit = found.batch_row * 1e6, gate.max_row_time.total_seconds() * 1e6
    return (
        Check("latency", one_row <= limit, limit, one_row),
        Check("row_time", batch_row <= row_limit, row_limit, batch_row),
    )


def _against_champion(
    own: pl.DataFrame, champion: Champion | None, params: Params
) -> Iterator[Check]:
    limit = -params.gate.country_regression
    if champion is None:
        yield Check("champion", True, limit, rows=0, not_compared="no_champion")
        return
    name, other = champion.name, champion.predictions
    if other is None:
        yield Check("champion", True, limit, rows=0, champion=name, not_compared="other_task")
        return
    own = own.join(other, on=ROW_KEY, how="semi", maintain_order="left")
    _, blocks = metrics.blocks_of(own, params)
    if own.height < FEWEST_ROWS or blocks < FEWEST_BLOCKS:
        yield Check(
            "champion", False, limit, rows=own.height, champion=name,
            not_compared="too_few_rows", blocks=blocks, learned_until=champion.training_end,
        )  # fmt: skip
        return
    found = metrics.difference(own, other, params)
    passed = found[1] >= limit and found[2] >= 0
    yield Check("champion", passed, limit, *found, own.height, champion=name)
    for code in own["country"].unique().sort():
        mine, theirs = own.filter(country=code), other.filter(country=code)
        found = metrics.difference(mine, theirs, params)
        yield Check("champion", found[0] >= limit, limit, *found, mine.height, code, name)
