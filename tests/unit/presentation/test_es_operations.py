"""What the operations found, as people read it in a terminal."""

from __future__ import annotations

import polars as pl

from spotify_mlops.operations.audit import AuditReport
from spotify_mlops.operations.lag import Lag, PartitionLag
from spotify_mlops.presentation.es.operations import aligned, audit_lines, lag_lines

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
)


def test_an_audit_that_holds_is_a_table_and_a_verdict() -> None:
    report = AuditReport(pl.DataFrame([ROW, ROW | {"partition": 1}]), None, [], UP_TO_DATE)
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
    report = AuditReport(pl.DataFrame([ROW]), None, ["Faltan 3."], BEHIND)
    assert audit_lines(report)[3:] == ["", "No cuadra:", "Faltan 3.", "", *lag_lines(BEHIND)]


def test_a_lag_names_the_partitions_that_have_one() -> None:
    assert lag_lines(UP_TO_DATE) == [
        "Retraso: 0 registros, 0 s de eventos (la tarea en directo, de hace 0 s)"
    ]
    assert lag_lines(BEHIND) == [
        "Retraso: 1.500 registros, 2,0 h de eventos (ninguna tarea en directo aquí; según su "
        "posición guardada, de hace 90 s)",
        "  2 ventanas cerradas por escribir",
        "  partición 1: 1.500 registros (20 sin leer), 2,0 h de eventos",
    ]


def test_numbers_stand_to_the_right_and_words_to_the_left() -> None:
    assert aligned(("Qué", "Filas"), [("uno", "5"), ("dos y más", "1.234")]) == [
        "Qué        Filas",
        "uno            5",
        "dos y más  1.234",
    ]
