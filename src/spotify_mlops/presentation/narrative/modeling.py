"""Phase 4: what was tried on the validation range, and what the choice rests on."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

import pandas as pd
import polars as pl

from ...config.params import Params
from ...model.dataset import Split, bounds
from ...model.training_result import TrainingResult
from ..es import duration, interval, moment, number
from ..es.names import HYPERPARAMETER_NAMES, INPUT_GROUP_NAMES, MODEL_NAMES, hyperparameter
from .show import Table, Text

NAMES = MODEL_NAMES
_GIVEN_AWAY = 0.05
"""Part of the model's gain that shuffled levels may reach. Not none: what such a model guesses to
be rare lies where its inputs are rare, and there the level is rarer too. An evaluation that gives
the answer away gives nearly all of it."""

FAMILIES = {"seed": "caso de estudio", "dynamics": "dinámica"}


def ranges_table(ranges: Split) -> Table:
    """Return the ranges in time, each with its rows."""
    parts = (
        ("entrenamiento", ranges.train),
        ("validación", ranges.validation),
        ("prueba", ranges.test),
    )
    rows = [
        (
            name,
            _moment(part["window_start"].min()),
            _moment(part["window_start"].max()),
            _moment(part["label_window"].max()),
            number(part.height),
        )
        for name, part in parts
    ]
    return Table(
        "Los tres rangos (UTC)",
        ("Rango", "Primera ventana", "Última ventana", "Última etiqueta", "Filas"),
        tuple(rows),
        (False, False, False, False, True),
    )


def ranges_frame(ranges: Split, params: Params) -> pd.DataFrame:
    """Return the ranges in time, for ``figures.model.ranges``."""
    parts = {
        "entrenamiento": ranges.train,
        "validación": ranges.validation,
        "prueba": ranges.test,
    }
    window = params.windows.window
    rows = [
        (name, *bounds(part), bounds(part, "label_window")[1] + window, part.height)
        for name, part in parts.items()
    ]
    return pd.DataFrame(rows, columns=["name", "first", "last", "label", "rows"])


def gap_finding(ranges: Split, params: Params) -> Text:
    """Say how far the training range ends before the next begins."""
    last = cast(datetime, ranges.train["label_window"].max()) + params.windows.window
    return Text(
        f"La última etiqueta de entrenamiento se cierra el {moment(last)} y la validación empieza "
        f"el {moment(ranges.validation_start)}: entre la última fila de un rango y la primera del "
        f"siguiente quedan al menos {duration(params.windows.window * params.model.horizon)}, el "
        "horizonte. El rango de prueba no se toca en esta fase."
    )


def scores(result: TrainingResult, split: str, metric: str = "macro_f1") -> pd.DataFrame:
    """Return each model's score with its interval, for ``figures.model.scores``."""
    found = result.metrics.filter(split=split, slice="all", metric=metric).to_pandas()
    found = found.set_index("model").reindex([m for m in NAMES if m in set(found["model"])])
    found.insert(0, "name", [NAMES[m] for m in found.index])
    return found.reset_index()[["name", "value", "low", "high"]]


def score_of(result: TrainingResult, model: str, split: str, metric: str = "macro_f1") -> pd.Series:
    """Return ``value``, ``low``, ``high`` of one model."""
    found = result.metrics.filter(model=model, split=split, slice="all", metric=metric)
    return found.to_pandas().iloc[0]


def validation_finding(result: TrainingResult) -> Text:
    """Say how much each idea adds on the validation range."""
    value = {m: float(score_of(result, m, "validation")["value"]) for m in NAMES}
    added = value["dynamics"] - value["persistence"]
    less = value["seed"] < value["persistence"]
    seed = (
        "menos que la persistencia: hora, búsquedas y país no distinguen una canción de otra"
        if less
        else "no menos que la persistencia"
    )
    better = "gana" if added >= 0 else "pierde"
    return Text(
        f"En validación, la persistencia llega a {number(value['persistence'], 3)} de macro-F1. "
        f"Las variables del caso de estudio, solas, dan {number(value['seed'], 3)} ({seed}). "
        "Con la dinámica se "
        f"llega a {number(value['dynamics'], 3)}: {better} {number(abs(added), 3)} sobre la "
        "persistencia."
    )


def candidates_table(result: TrainingResult) -> Table:
    """Return the hyper-parameters tried and the chosen ones; those that never vary are left out."""
    frame = result.candidates.sort("family", "log_loss")
    columns = [name for name in HYPERPARAMETER_NAMES if name in frame.columns]
    tried = [name for name in columns if frame[name].n_unique() > 1]
    rows = tuple(
        (
            FAMILIES[row["family"]],
            *(_tried(row, name) for name in tried),
            number(row["log_loss"], 4),
            number(row["macro_f1"], 3),
            "elegido" if row["chosen"] else "",
        )
        for row in frame.to_dicts()
    )
    names = [HYPERPARAMETER_NAMES[name] for name in tried]
    return Table(
        "Candidatos, por su pérdida logarítmica en validación",
        ("Familia", *names, "Pérdida", "Macro-F1", ""),
        rows,
        (False, *[True] * (len(names) + 2), False),
    )


def _tried(row: dict[str, Any], name: str) -> str:
    return number(None) if row[name] is None else hyperparameter(row[name])


def curve(frame: pl.DataFrame) -> pd.DataFrame:
    """Return the learning curve with the families' Spanish names."""
    return frame.with_columns(pl.col("family").replace(FAMILIES)).to_pandas()


def curve_finding(frame: pl.DataFrame) -> Text:
    """Say whether more data would help."""
    part = frame.filter(family="dynamics").sort("rows")
    if part.height < 2:
        return Text("Hay muy pocas filas para dibujar una curva.")
    last, before = part.row(-1, named=True), part.row(-2, named=True)
    gain = last["macro_f1"] - before["macro_f1"]
    noise = (last["high"] - last["low"]) / 2
    verdict = (
        "más datos de este mismo tramo añadirían poco"
        if gain < noise
        else "más datos aún ayudarían"
    )
    return Text(
        f"De {number(before['rows'])} a {number(last['rows'])} filas, la dinámica pasa de "
        f"{number(before['macro_f1'], 3)} a {number(last['macro_f1'], 3)} de macro-F1, con un "
        f"intervalo de ±{number(noise, 3)}: {verdict}."
    )


def shuffled_finding(frame: pl.DataFrame) -> Text:
    """Say whether a model with shuffled levels does better than chance (it must not)."""
    found = {row["name"]: row for row in frame.to_dicts()}
    true, shuffled, chance, excess = (
        found[name] for name in ("levels", "shuffled", "chance", "excess")
    )
    gain = true["value"] - chance["value"]
    honest = excess["high"] <= _GIVEN_AWAY * gain
    verdict = (
        "no hay por dónde se cuele la respuesta"
        if honest
        else "**algo le da la respuesta: no se puede confiar en las cifras**"
    )
    return Text(
        f"Con los niveles barajados, el mismo método se queda de media en "
        f"{number(shuffled['value'], 3)} de macro-F1; repartir al azar esas mismas respuestas da "
        f"{number(chance['value'], 3)}. La diferencia es "
        f"{interval(excess['value'], excess['low'], excess['high'])} (intervalo del 99 %), el "
        f"{number(100 * excess['value'] / gain, 1)} % de lo que gana con los niveles de verdad, "
        f"con los que llega a {number(true['value'], 3)}: {verdict}.",
        "finding" if honest else "warning",
    )


def calibration_finding(result: TrainingResult) -> Text:
    """Say how far the probabilities of the chosen family can be trusted."""
    row = score_of(result, result.family, "validation", "ece")
    return Text(
        f"El error medio de calibración es {interval(row['value'], row['low'], row['high'])}: "
        "cuando el modelo anuncia una probabilidad, se equivoca de media en esa cantidad. Las "
        "probabilidades pueden leerse como tales y no solo como un orden."
        if row["value"] < 0.05
        else f"El error medio de calibración es {interval(row['value'], row['low'], row['high'])}: "
        "las probabilidades ordenan bien, pero conviene no leerlas al pie de la letra.",
        "finding" if row["value"] < 0.05 else "warning",
    )


def named_groups(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the weights of groups of inputs with the groups' Spanish names."""
    return frame.with_columns(pl.col("name").replace(INPUT_GROUP_NAMES))


def added_finding(found: pl.DataFrame) -> Text:
    """Say what one more input is worth, from `model.diagnostics.added_input`."""
    rows = {row["name"]: row for row in found.to_dicts()}
    gain = rows["difference"]
    written = interval(gain["value"], gain["low"], gain["high"])
    sure = (
        "ayuda, y no es azar"
        if gain["low"] > 0
        else "estorba, y no es azar"
        if gain["high"] < 0
        else "podría ser azar: no se ve que sirva"
    )
    return Text(
        f"Sin la variable, {number(rows['without']['value'], 3)} de macro-F1 en validación; con "
        f"ella, {number(rows['with']['value'], 3)}. La diferencia es {written}: {sure}."
    )


def importance_finding(frame: pl.DataFrame) -> Text:
    """Say what the model rests on."""
    first, second = frame.row(0, named=True), frame.row(1, named=True)
    idle = [row["name"] for row in frame.to_dicts() if row["high"] <= 0.002]
    rest = f" Apenas cuenta: {', '.join(idle)}." if idle else ""
    return Text(
        f"Lo que más pesa es **{first['name']}**: barajarlo cuesta {number(first['value'], 3)} de "
        f"macro-F1. Le sigue {second['name']} ({number(second['value'], 3)}).{rest}"
    )


def decision(result: TrainingResult) -> Text:
    """Say which candidate goes on to the evaluation."""
    return Text(
        f"Pasa a la evaluación la familia **{FAMILIES[result.family]}** "
        f"({number(len(result.description['features']))} variables). Todo lo elegido se eligió "
        "en validación; la prueba se abre en la fase siguiente y no se vuelve atrás.",
        "decision",
    )


def _moment(value: Any) -> str:
    return moment(value)
