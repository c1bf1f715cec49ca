"""Phase 6: the model at work, and the proof that nothing was lost on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from ...config.params import Params
from ...config.sections import Model, Windows
from ...domain.labels import LEVELS
from ...model.gate import Verdict
from ...model.release import Release
from ...model.training_result import TrainingResult
from ...operations.audit import AuditReport
from ..es import country, duration, moment, number, percent, plural
from ..es.operations import difference_lines
from . import early
from .show import Facts, Table, Text, listing


def pending_finding(runs: Path, run_id: str) -> Text:
    """Say which training is deployed, and whether a later one waits for its evaluation."""
    later = sorted(path.name for path in runs.iterdir() if path.name > run_id)
    if later:
        return Text(
            f"Se despliega el último entrenamiento evaluado. Hay "
            f"{plural(len(later), 'otro posterior', 'otros posteriores')} sin evaluar: antes de "
            "servirlo tiene que pasar por la fase 5.",
            "warning",
        )
    return Text("Se despliega el último entrenamiento, que la fase 5 ha evaluado.")


def release_finding(release: Release, verdict: Verdict, model: Model) -> Text:
    """Say which version serves from when on."""
    name = f"**{model.name}@{release.version}**"
    if release.since is not None:
        return Text(
            f"{name} es el campeón de las ventanas que empiezan el {moment(release.since)} UTC o "
            "después. Queda escrito en el registro: repetir el pasado usará el modelo que había "
            "entonces.",
            "decision",
        )
    if verdict.approved:
        return Text(f"El modelo es el mismo que ya servía: {name} sigue.", "decision")
    return Text(f"El modelo nuevo no se promociona; sigue sirviendo {name}.", "warning")


def instances(rows: pd.DataFrame) -> list[dict[str, str]]:
    """Return requests for the endpoint: one a row of ``country`` and ``track_id``."""
    return [dict(record) for record in rows[["country", "track_id"]].to_dict("records")]


def answers_table(rows: pd.DataFrame, answers: list[dict[str, Any]]) -> Table:
    """Return what was asked and what the endpoint said."""
    shown = [
        (
            row.track_name or row.track_id,
            country(row.country),
            answer["level"],
            *(percent(float(answer["probabilities"][level]), 0) for level in LEVELS),
            str(answer["model"]),
        )
        for row, answer in zip(rows.itertuples(), answers, strict=True)
    ]
    return Table(
        "Lo que contesta el servicio de predicción",
        ("Canción", "País", "Nivel", *LEVELS, "Modelo"),
        tuple(shown),
        (False, False, False, True, True, True, False),
    )


def stream_finding(found: int, seconds: float, windows: Windows) -> Text:
    """Say how long the first predictions took to be readable."""
    return Text(
        f"{plural(found, 'predicción legible', 'predicciones legibles')} en BigQuery "
        f"{number(seconds, 1)} s después de arrancar la tarea: su arranque y, la primera vez, las "
        "ventanas ya cerradas desde que el modelo es campeón. Después, cada ventana de "
        f"{duration(windows.window)} se predice al cerrarse."
    )


def predicted_levels(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return how many rows have each level, for ``figures.shares.levels``."""
    counts = predictions.groupby(["country", "level"]).size()
    return counts.rename("value").reset_index()


def rising_table(predictions: pd.DataFrame, model: Model, limit: int = 10) -> Table:
    """Return the tracks that are not Alta now and most probably will be.

    Args:
        predictions: ``track_name``, ``track_id``, ``country``, ``score_now``, ``p_alta``.
        model: the threshold of Alta.
        limit: rows at most.
    """
    chosen = _rising(predictions, model, limit)
    rows = tuple(
        (
            row.track_name or row.track_id,
            country(row.country),
            number(row.score_now if row.score_now == row.score_now else 0, 1),
            percent(row.p_alta, 0),
        )
        for row in chosen.itertuples()
    )
    return Table(
        "Todavía no son Alta, y probablemente lo serán",
        ("Canción", "País", "Puesto ahora (0–100)", "Probabilidad de Alta"),
        rows,
        (False, False, True, True),
    )


def rising_finding(
    predictions: pd.DataFrame, result: TrainingResult, model: Model, limit: int = 10
) -> Text:
    """Say how many of the table's tracks are to be expected to rise, and how often such lists were.

    Args:
        predictions: as for `rising_table`.
        result: of the model's training: how its lists did on the test range.
        model: the threshold of Alta.
        limit: rows of the table.
    """
    chosen = _rising(predictions, model, limit)
    if chosen.empty:
        return Text("Todas las canciones de la última ventana son ya Alta: no hay lista.")
    hoped = float(chosen["p_alta"].sum())
    said = (
        f"Sumando sus probabilidades, de estas {number(len(chosen))} cabe esperar que lleguen "
        f"**{number(hoped, 1)}**."
    )
    found = early.facts(result).get("rises")
    if found is None:
        return Text(f"{said} En la prueba no subió ninguna: no se sabe cuánto acierta la lista.")
    right, low, high, chance = (percent(found[n]) for n in ("value", "low", "high", "chance"))
    return Text(
        f"{said} En la prueba, de las {found['k']} primeras de cada país y ventana subió el "
        f"**{right}** [{low}; {high}]; elegidas al azar, habría subido el {chance}."
    )


def _rising(predictions: pd.DataFrame, model: Model, limit: int) -> pd.DataFrame:
    waiting = predictions[predictions["score_now"].fillna(0) < model.level_alta]
    return waiting.nlargest(limit, "p_alta")


def window_finding(predictions: pd.DataFrame, params: Params) -> Text:
    """Say which window is predicted and for when."""
    start = predictions["window_start"].max()
    target = start + params.windows.window * params.model.horizon
    return Text(
        f"La última ventana predicha empezó el {moment(start)} UTC: "
        f"{number(len(predictions))} canciones y países, con su nivel para el {moment(target)}."
    )


_TERMS = {
    "records": "En Kafka",
    "counted": "Contados",
    "open": "Abiertos",
    "dead_letters": "Muertas",
    "late": "Tarde",
    "duplicates": "Repetidos",
    "heartbeats": "Latidos",
    "missing": "Faltan",
}


def audit_table(report: AuditReport) -> Table:
    """Return the audit: one row a partition, and the sum."""
    totals = {name: int(report.table[name].sum()) for name in _TERMS}
    rows = [
        (str(row["partition"]), *(number(row[name]) for name in _TERMS))
        for row in report.table.to_dicts()
    ]
    rows.append(("todas", *(number(totals[name]) for name in _TERMS)))
    return Table(
        "Cada registro de Kafka, en un solo sitio",
        ("Partición", *_TERMS.values()),
        tuple(rows),
        (False, *([True] * len(_TERMS))),
    )


def audit_finding(report: AuditReport) -> Text:
    """Say whether every record is answered for."""
    records = int(report.table["records"].sum())
    if report.holds:
        return Text(
            f"**Cuadra.** Los {number(records)} registros que Kafka dice tener están contados, "
            "aparte o en una ventana abierta, cada uno una vez.",
            "decision",
        )
    return Text("**No cuadra.** " + " ".join(difference_lines(report)), "warning")


def facts(report: AuditReport) -> Facts:
    """Return what the index page says of the audit."""
    return Facts({"audit_holds": report.holds, "audit_records": int(report.table["records"].sum())})


def commands() -> Table:
    """Return what to do next, and how to stop."""
    return listing(
        "Qué hacer ahora",
        (
            ("ver qué está en marcha", "spotify-mlops status"),
            ("auditar otra vez", "spotify-mlops audit"),
            ("vigilar el modelo, y reentrenarlo si hace falta", "spotify-mlops monitor --every 60"),
            ("repetir todo el registro en otro sitio", "spotify-mlops replay --dataset repeticion"),
            ("abrir estos cuadernos", "make lab"),
            ("detenerlo todo (los datos se quedan)", "make stop"),
        ),
        ("Para", "Orden"),
    )
