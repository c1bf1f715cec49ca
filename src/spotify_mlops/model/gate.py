"""The gate: may the challenger serve? Every check says what it asked and what it found."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from ..config.errors import UserError
from ..config.params import Params
from ..config.spanish import country, interval, moment, number, plural
from ..domain.schemas import PROBABILITIES
from . import metrics
from .dataset import ROW_KEY
from .latency import Latency, measure
from .predictor import Predictor
from .promotions import PromotionHistory
from .training import TrainingResult

FEWEST_ROWS = 200
FEWEST_BLOCKS = 2
"""Rows and blocks of the bootstrap with which a comparison is worth making."""

SPLIT = "gate"
"""``split`` of the verdict's rows in ``spotify_model_metrics``."""

_SCHEMA = {
    "check": pl.String,
    "required": pl.Float64,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "passed": pl.Boolean,
    "reason": pl.String,
    "rows": pl.Int64,
}
_LABEL_CHARACTERS = 63

Found = tuple[float, float, float]
"""Estimate and its interval."""


@dataclass(frozen=True)
class Decision:
    """The verdict and what it rests on."""

    approved: bool
    checks: pl.DataFrame
    """``check``, ``required``, ``value``, ``low``, ``high`` (null where there is nothing to
    state), ``passed``, ``reason`` (Spanish), ``rows`` it rests on."""


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


def decide(result: TrainingResult, params: Params, champion: Champion | None = None) -> Decision:
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
    """
    own = result.of(result.family)
    scored = {
        row["metric"]: (row["value"], row["low"], row["high"])
        for row in result.metrics.filter(model=result.family, split="test", slice="all").to_dicts()
    }
    advantage = metrics.difference(own, result.of("persistence"), params)
    checks = [
        _at_least("accuracy", "La exactitud", params.gate.min_accuracy, scored["accuracy"]),
        _at_least("macro_f1", "El macro-F1", params.gate.min_macro_f1, scored["macro_f1"]),
        _beats_persistence(advantage),
        _calibrated(params.gate.max_ece, scored["ece"]),
    ]
    rows = [(*check, own.height) for check in checks]
    latency = measure(result.graph, len(result.description["features"]))
    rows += [(*check, None) for check in _fast_enough(latency, params)]
    rows += _against_champion(own, champion, params)
    table = pl.DataFrame(rows, schema=_SCHEMA, orient="row")
    return Decision(bool(table["passed"].all()), table)


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


def metrics_of(decision: Decision, result: TrainingResult) -> pl.DataFrame:
    """Return the verdict as rows for `metrics.metrics_rows`: one a check, and ``approved``.

    ``metric`` is the check's name, and a country's check has its ``slice``; ``passed`` says
    whether it passed.
    """
    name = pl.col("check").str.split(":")
    place = (
        pl.when(name.list.len() > 1).then("country:" + name.list.last()).otherwise(pl.lit("all"))
    )
    rows = decision.checks.select(
        place.alias("slice"),
        name.list.first().alias("metric"),
        *("value", "low", "high", "rows", "passed"),
    )
    verdict = rows.head(1).with_columns(
        slice=pl.lit("all"),
        metric=pl.lit("approved"),
        value=pl.lit(float(decision.approved)),
        low=pl.lit(None, pl.Float64),
        high=pl.lit(None, pl.Float64),
        passed=pl.lit(decision.approved),
    )
    return pl.concat([rows, verdict]).select(
        pl.lit(result.family).alias("model"),
        pl.lit(result.family).alias("family"),
        pl.lit(SPLIT).alias("split"),
        pl.all(),
    )


def labels(decision: Decision) -> dict[str, str]:
    """Return the verdict as labels of a registered version.

    Keys and values keep to Vertex AI's rules: lower-case letters, digits, ``-`` and ``_``, at
    most 63 characters, the key beginning with a letter. ``gate`` is ``passed`` or ``failed``, and
    ``gate_<check>`` is ``passed`` or ``failed`` with the value found: ``passed-0_755``; ``-`` in
    place of a minus sign is ``m``.
    """
    found = {"gate": _verdict(decision.approved)}
    for row in decision.checks.to_dicts():
        value = "" if row["value"] is None else f"-{_value_label(row['value'])}"
        found[f"gate_{_label(row['check'])}"[:_LABEL_CHARACTERS]] = _verdict(row["passed"]) + value
    return found


def _verdict(passed: bool) -> str:
    return "passed" if passed else "failed"


def _value_label(value: float) -> str:
    return f"{value:.3f}".replace("-", "m").replace(".", "_")


def _label(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "_", text.lower())


def _at_least(name: str, what: str, required: float, found: Found) -> tuple:
    passed = found[0] >= required
    verb = "alcanza" if passed else "no alcanza"
    reason = f"{what}, {interval(*found)}, {verb} el mínimo de {number(required, 2)}."
    return name, required, *found, passed, reason


def _beats_persistence(found: Found) -> tuple:
    passed = found[1] > 0
    reason = (
        f"Supera a repetir el nivel de hoy en {interval(*found)} de macro-F1."
        if passed
        else f"No supera con seguridad a repetir el nivel de hoy: diferencia {interval(*found)}."
    )
    return "persistence", 0.0, *found, passed, reason


def _calibrated(limit: float, found: Found) -> tuple:
    passed = found[0] <= limit
    verb = "no pasa" if passed else "pasa"
    reason = f"El error de calibración, {interval(*found)}, {verb} de {number(limit, 2)}."
    return "calibration", limit, *found, passed, reason


def _fast_enough(found: Latency, params: Params) -> list[tuple]:
    one_row, limit = found.one_row_p99 * 1e3, params.gate.max_latency.total_seconds() * 1e3
    batch_row, row_limit = found.batch_row * 1e6, params.gate.max_row_time.total_seconds() * 1e6
    alone, together = one_row <= limit, batch_row <= row_limit
    return [
        (
            "latency", limit, one_row, None, None, alone,
            f"El modelo contesta una fila en {number(one_row, 2)} ms (percentil 99), "
            f"{'dentro' if alone else 'fuera'} del límite de {number(limit, 2)} ms.",
        ),
        (
            "row_time", row_limit, batch_row, None, None, together,
            f"En lote, cada fila le lleva {number(batch_row, 1)} µs, "
            f"{'dentro' if together else 'fuera'} del límite de {number(row_limit, 1)} µs.",
        ),
    ]  # fmt: skip


def _against_champion(own: pl.DataFrame, champion: Champion | None, params: Params) -> list[tuple]:
    limit = params.gate.country_regression
    if champion is None:
        return [_not_compared(True, limit, 0, "No hay modelo en servicio con el que comparar.")]
    if champion.predictions is None:
        reason = f"{champion.name} predice otro horizonte o lee otras variables: no se compara."
        return [_not_compared(True, limit, 0, reason)]
    other = champion.predictions
    own = own.join(other, on=ROW_KEY, how="semi", maintain_order="left")
    _, seen = metrics.blocks_of(own, params)
    if own.height < FEWEST_ROWS or seen < FEWEST_BLOCKS:
        reason = (
            f"{champion.name} ha aprendido de todo lo anterior al {moment(champion.training_end)} "
            f"y después quedan {plural(own.height, 'fila', 'filas')} de prueba en "
            f"{plural(seen, 'tramo', 'tramos')}: hacen falta {number(FEWEST_ROWS)} y "
            f"{number(FEWEST_BLOCKS)}. Espera a tener más ventanas; mientras, sigue el que está."
        )
        return [_not_compared(False, limit, own.height, reason)]
    rows = [_against_whole(own, champion, params, limit)]
    for code in own["country"].unique().sort():
        here = pl.col("country") == code
        rows.append(_against_country(code, own.filter(here), other.filter(here), params, limit))
    return rows


def _not_compared(passed: bool, limit: float, rows: int, reason: str) -> tuple:
    return "champion", -limit, None, None, None, passed, reason, rows


def _against_whole(own: pl.DataFrame, champion: Champion, params: Params, limit: float) -> tuple:
    assert champion.predictions is not None
    found = metrics.difference(own, champion.predictions, params)
    _, low, high = found
    reason = (
        f"Frente a {champion.name}, en {number(own.height)} filas que ninguno conocía, "
        f"diferencia de {interval(*found)} de macro-F1."
    )
    if low < -limit:
        reason += f" No se descarta que pierda más de {number(limit, 2)}."
    elif high < 0:
        reason += " Pierde con seguridad."
    return "champion", -limit, *found, low >= -limit and high >= 0, reason, own.height


def _against_country(
    code: str, own: pl.DataFrame, other: pl.DataFrame, params: Params, limit: float
) -> tuple:
    found = metrics.difference(own, other, params)
    passed = found[0] >= -limit
    reason = f"En {country(code)}, diferencia de {interval(*found)}."
    if not passed:
        reason += f" Se acepta perder como mucho {number(limit, 2)}."
    return f"champion:{code}", -limit, *found, passed, reason, own.height
