"""The gate: may the challenger serve? Every check says what it asked and what it found."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from ..errors import UserError
from ..params import Params
from ..spanish import country, interval, number
from . import metrics
from .dataset import ROW_KEY
from .metrics import PROBABILITIES
from .predictor import Predictor
from .schedule import Schedule
from .train import TrainingResult

_SCHEMA = {
    "check": pl.String,
    "required": pl.Float64,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "passed": pl.Boolean,
    "reason": pl.String,
}


@dataclass(frozen=True)
class Decision:
    """The verdict and what it rests on."""

    approved: bool
    checks: pl.DataFrame
    """``check``, ``required``, ``value``, ``low``, ``high``, ``passed``, ``reason`` (Spanish)."""


def decide(
    result: TrainingResult, params: Params, champion: pl.DataFrame | None = None
) -> Decision:
    """Judge a run's model on its test range.

    Args:
        result: of the training run.
        params: the ``gate_*`` limits.
        champion: predictions of the serving champion on the same rows (see
            `champion_predictions`); None when there is no champion or it cannot be compared.

    Returns:
        Approved when every check passed: accuracy and macro-F1 reach their floors, the advantage
        over persistence is positive with its whole interval, the calibration error is within its
        limit, and against the champion no country, nor the whole, loses more than
        ``gate_country_regression`` of macro-F1.
    """
    own = result.of(result.family)
    scored = {
        row["metric"]: (row["value"], row["low"], row["high"])
        for row in result.metrics.filter(model=result.family, split="test", slice="all").to_dicts()
    }
    rows = [
        _at_least("accuracy", "La exactitud", params.gate_min_accuracy, scored["accuracy"]),
        _at_least("macro_f1", "El macro-F1", params.gate_min_macro_f1, scored["macro_f1"]),
        _beats_persistence(metrics.difference(own, result.of("persistence"), params)),
        _calibrated(params.gate_max_ece, scored["ece"]),
    ]
    if champion is not None:
        rows += _against_champion(own, champion, params)
    checks = pl.DataFrame(rows, schema=_SCHEMA, orient="row")
    return Decision(bool(checks["passed"].all()), checks)


def champion_predictions(
    schedule: Schedule, result: TrainingResult, features: pl.DataFrame
) -> pl.DataFrame | None:
    """Return what today's champion predicts for the run's test rows, in `TrainingResult.of` form.

    None when there is no champion, or when it reads inputs or a horizon that these rows do not
    have: then there is nothing to compare.

    Raises:
        IntegrityError: the champion's bundle is not what was registered.
    """
    version = schedule.champion()
    if version is None:
        return None
    predictor = Predictor.load(schedule.bundle_path(version))
    same_task = predictor.bundle.description["horizon"] == result.horizon
    if not same_task or not set(predictor.features) <= set(features.columns):
        return None
    truth = result.of(result.family).select(*ROW_KEY, "level")
    rows = truth.join(features, on=ROW_KEY, how="inner", maintain_order="left")
    if rows.height != truth.height:
        raise UserError("Las variables no cubren el rango de prueba: entrene de nuevo.")
    predicted = predictor.predict(rows).rename({"level": "predicted"})
    return rows.select(*ROW_KEY, "level").hstack(predicted.select("predicted", *PROBABILITIES))


def _at_least(name: str, what: str, required: float, found: tuple[float, float, float]) -> tuple:
    passed = found[0] >= required
    verb = "alcanza" if passed else "no alcanza"
    reason = f"{what}, {interval(*found)}, {verb} el mínimo de {number(required, 2)}."
    return name, required, *found, passed, reason


def _beats_persistence(found: tuple[float, float, float]) -> tuple:
    passed = found[1] > 0
    reason = (
        f"Supera a repetir el nivel de hoy en {interval(*found)} de macro-F1."
        if passed
        else f"No supera con seguridad a repetir el nivel de hoy: diferencia {interval(*found)}."
    )
    return "persistence", 0.0, *found, passed, reason


def _calibrated(limit: float, found: tuple[float, float, float]) -> tuple:
    passed = found[0] <= limit
    verb = "no pasa" if passed else "pasa"
    reason = f"El error de calibración, {interval(*found)}, {verb} de {number(limit, 2)}."
    return "calibration", limit, *found, passed, reason


def _against_champion(own: pl.DataFrame, champion: pl.DataFrame, params: Params) -> list[tuple]:
    limit = params.gate_country_regression
    rows = [_no_regression("champion", "el conjunto", own, champion, params, limit)]
    for code in own["country"].unique().sort():
        here = pl.col("country") == code
        rows.append(
            _no_regression(
                f"champion:{code}", country(code), own.filter(here), champion.filter(here),
                params, limit,
            )
        )  # fmt: skip
    return rows


def _no_regression(
    name: str, where: str, own: pl.DataFrame, champion: pl.DataFrame, params: Params, limit: float
) -> tuple:
    found = metrics.difference(own, champion, params)
    passed = found[0] >= -limit
    change = "gana" if found[0] >= 0 else "pierde"
    reason = f"Frente al campeón, en {where} {change} {interval(*found)} de macro-F1."
    if not passed:
        reason += f" Se acepta perder como mucho {number(limit, 2)}."
    return name, -limit, *found, passed, reason
