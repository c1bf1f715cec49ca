"""What the operations found, as people read it in a terminal."""

from __future__ import annotations

import polars as pl

from spotify_mlops.operations.audit import AuditReport, Difference
from spotify_mlops.operations.lag import Lag, PartitionLag
from spotify_mlops.operations.skew import Example, NotAsked, Place, SkewReport
from spotify_mlops.pipeline.job import Unreadable
from spotify_mlops.presentation.es.operations import (
    aligned,
    audit_lines,
    lag_lines,
    skew_lines,
)

ROW = {"partition": 0, "records": 1200, "counted": 1199, "open": 0, "dead_letters": 0, "late": 0,
       "duplicates": 0, "heartbeats": 1, "missing": 0}  # fmt: skip
UP_TO_DATE = Lag("job", 0.2, None, 0, (PartitionLag(0, 1200, 0, 0, None, None, 0.0),))
BEHIND = Lag(
    "position",
    90.0,
    None,
    2,
    (
        PartitionLag(0, 1200, 0, 0, None, None, 0.0),
        PartitionLag(1, 5000, 1500, 20, None, None, 7200.0),
    ),
    (Unreadable(1, 3500, "CRC32C mismatch"),),
)


def test_an_audit_that_holds_is_a_table_and_a_verdict() -> None:
    report = AuditReport(pl.DataFrame([ROW, ROW | {"partition": 1}]), None, (), UP_TO_DATE)
    lines = audit_lines(report)
    assert [line.split() for line in lines[:4]] == [
        ["Partición", "En", "Kafka", "Contados", "Abiertos", "Errores", "Tardíos", "Duplicados",
         "Latidos", "Diferencia"],
        ["0", "1.200", "1.199", "0", "0", "0", "0", "1", "0"],
        ["1", "1.200", "1.199", "0", "0", "0", "0", "1", "0"],
        ["Total", "2.400", "2.398", "0", "0", "0", "0", "2", "0"],
    ]  # fmt: skip
    assert lines[4:] == ["", "Cuadra: cada registro está contabilizado una sola vez."]


def test_an_audit_that_does_not_hold_says_why_and_how_far_behind_the_job_is() -> None:
    wrong = (Difference("records", 0, 1200, 1197), Difference("records", 1, 9, 10),
             Difference("late", None, 4, 5))  # fmt: skip
    report = AuditReport(pl.DataFrame([ROW]), None, wrong, BEHIND, "Es otro registro.")
    assert audit_lines(report)[3:] == [
        "",
        "No cuadra:",
        "Es otro registro.",
        "Partición 0: 1.200 registros en Kafka y 1.197 contabilizados (faltan 3).",
        "Partición 1: 9 registros en Kafka y 10 contabilizados (sobran 1).",
        "Tardíos: 5 encontrados y 4 inyectados por el simulador.",
        "",
        *lag_lines(BEHIND),
    ]


def test_a_comparison_says_what_was_not_asked_and_what_differs() -> None:
    examples = (
        Example(("CO", "t1"), "differs", "momentum", "1.0", "2.0"),
        Example(("CO", "t2"), "missing"),
    )
    places = (
        Place("predictions_store", 3, 1, 1, examples=examples),
        Place("predictions_endpoint", not_asked=NotAsked.DOWN),
        Place("predictions_endpoint", not_asked=NotAsked.REFUSED, refusal="No se conoce."),
    )
    lines = skew_lines(SkewReport(10, None, places))
    endpoint, store = "Predicciones del endpoint", "Predicciones en MongoDB"
    assert lines[4:] == [
        "",
        f"{store}: CO t1: momentum debía ser 1.0 y es 2.0",
        f"{store}: CO t2: falta",
        f"{endpoint}: no está en marcha.",
        f"{endpoint}: No se conoce.",
        "Hay valores distintos de los que da repetir el registro.",
    ]


def test_a_lag_names_the_partitions_that_have_one() -> None:
    assert lag_lines(UP_TO_DATE) == [
        "Retraso: 0 registros, 0 s de eventos (la tarea en directo, de hace 0 s)"
    ]
    assert lag_lines(BEHIND) == [
        "Retraso: 1.500 registros, 2,0 h de eventos (ninguna tarea en directo aquí; según su "
        "posición guardada, de hace 90 s)",
        "  Kafka responde, pero la partición 1 no se puede leer desde el registro 3500 (CRC32C "
        "mismatch)",
        "  2 ventanas cerradas por escribir",
        "  partición 1: 1.500 registros (20 sin leer), 2,0 h de eventos",
    ]


def test_numbers_stand_to_the_right_and_words_to_the_left() -> None:
    assert aligned(("Qué", "Filas"), [("uno", "5"), ("dos y más", "1.234")]) == [
        "Qué        Filas",
        "uno            5",
        "dos y más  1.234",
    ]
