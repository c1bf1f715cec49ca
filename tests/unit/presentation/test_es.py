"""The sentences that are made of codes and numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from decided import AT, FAILED, decided
from spotify_mlops.domain.features import Inputs
from spotify_mlops.model.gate import Check, Criterion, Verdict
from spotify_mlops.operations.monitor.decisions import Facts, Reason
from spotify_mlops.presentation.es import decisions, gate, names

SENTENCES: dict[Reason, str] = {
    "low_accuracy": "La exactitud de las últimas 48 ventanas, −0,050, no alcanza −0,020.",
    "drift": "«puesto hace 2 ventanas» lleva 6 ventanas lejos de lo habitual (a −0,1 veces su "
    "límite el 1 feb 2026, 14:00).",
    "persistence_serves": "Sirve la persistencia: se busca un modelo que acierte más.",
    "training_failed": "El entrenamiento no acabó: El entrenamiento x-1 no acabó: sin disco",
    "gate_approved": "La puerta lo aprueba: predice a la sombra del campeón.",
    "gate_refused": "El macro-F1, 0,512 [0,490; 0,530], no alcanza el mínimo de 0,55.",
    "worse": "En 24 ventanas, −0,050 [−0,061; −0,039] de macro-F1 frente al campeón: pierde más "
    "de 0,020.",
    "worth_a_canary": "En 24 ventanas, −0,050 [−0,061; −0,039] de macro-F1 frente al campeón: pasa "
    "a predecir el 30 % de las canciones.",
    "worth_promoting": "En 24 ventanas, −0,050 [−0,061; −0,039] de macro-F1 frente al campeón: "
    "pasa a campeón.",
    "surely_worse": "En sus primeras 24 ventanas, −0,050 [−0,061; −0,039] de macro-F1 frente a la "
    "versión 1, que vuelve.",
    "not_surely_worse": "En sus primeras 24 ventanas, −0,050 [−0,061; −0,039] de macro-F1 frente "
    "a la versión 1: sigue.",
    "worse_than_persistence": "Es la persistencia (cada canción sigue como está), que acierta más "
    "que el campeón. En 24 ventanas, −0,050 [−0,061; −0,039] de macro-F1 frente a la versión 1.",
}


@pytest.mark.parametrize("reason", get_args(Reason))
def test_a_reason_is_a_sentence_with_its_numbers(reason: Reason) -> None:
    assert decisions.sentence(decided(reason)) == SENTENCES[reason]


def test_what_an_earlier_release_wrote_is_shown_as_it_is() -> None:
    old = replace(decided("worse"), reason="Acierta más.", facts=Facts())  # type: ignore[arg-type]
    assert decisions.line(old) == "2026-02-01 14:00  versión 2: se reentrena. Acierta más."


def test_a_retrained_model_is_told_with_what_it_learned_from() -> None:
    known = decided("gate_approved")
    learned = replace(known, facts=replace(known.facts, history="quarter"))
    assert decisions.sentence(learned) == (
        f"{SENTENCES['gate_approved']} Aprendió del último cuarto de lo anterior."
    )


def test_a_sentence_in_sql_is_a_text_of_literals_and_columns() -> None:
    sql = decisions.sentence_sql(["score_lag_2"])
    assert sql.startswith(
        "CONCAT(CASE reason WHEN 'low_accuracy' THEN CONCAT('La exactitud de las "
    )
    assert "ELSE reason END, IF(JSON_VALUE(facts, '$.history') IS NULL, '', CONCAT(" in sql
    assert "WHEN 'half' THEN 'de la última mitad de lo anterior'" in sql
    assert "WHEN 'score_lag_2' THEN 'puesto hace 2 ventanas'" in sql
    assert not [text for text in decisions.REASONS.values() if "'" in text]
    assert not set("{}") & set(sql)


CHECKS = {
    Check("accuracy", True, 0.6, 0.7, 0.68, 0.72): "La exactitud, 0,700 [0,680; 0,720], alcanza el "
    "mínimo de 0,60.",
    FAILED: SENTENCES["gate_refused"],
    Check("persistence", True, 0.0, 0.05, 0.04, 0.06): "Supera a repetir el nivel de hoy en 0,050 "
    "[0,040; 0,060] de macro-F1.",
    Check("persistence", False, 0.0, 0.05, -0.01, 0.06): "No supera con seguridad a repetir el "
    "nivel de hoy: diferencia 0,050 [−0,010; 0,060].",
    Check("calibration", True, 0.05, 0.02, 0.01, 0.03): "El error de calibración, 0,020 [0,010; "
    "0,030], no pasa de 0,05.",
    Check("calibration", False, 0.05, 0.07, 0.06, 0.08): "El error de calibración, 0,070 [0,060; "
    "0,080], pasa de 0,05.",
    Check("latency", True, 5.0, 0.25): "El modelo contesta una fila en 0,25 ms (percentil 99), "
    "dentro del límite de 5,00 ms.",
    Check("row_time", False, 200.0, 300.0): "En lote, cada fila le lleva 300,0 µs, fuera del "
    "límite de 200,0 µs.",
    Check("champion", True, -0.02, not_compared="no_champion"): "No hay modelo en servicio con el "
    "que comparar.",
    Check("champion", True, -0.02, champion="popularity@4", not_compared="other_task"): "popularity"
    "@4 predice otro horizonte o lee otras variables: no se compara.",
    Check(
        "champion", False, -0.02, rows=1, champion="popularity@4", not_compared="too_few_rows",
        blocks=1, learned_until=AT,
    ): "popularity@4 ha aprendido de todo lo anterior al 1 feb 2026, 14:00 y después quedan 1 fila "
    "de prueba en 1 tramo: hacen falta 200 y 2. Espera a tener más ventanas; mientras, sigue el "
    "que está.",
    Check("champion", True, -0.02, 0.01, 0.0, 0.02, 1200, champion="popularity@4"): "Frente a "
    "popularity@4, en 1.200 filas que ninguno conocía, diferencia de 0,010 [0,000; 0,020] de "
    "macro-F1.",
    Check("champion", False, -0.02, -0.01, -0.03, 0.02, 900, champion="popularity@4"): "Frente a "
    "popularity@4, en 900 filas que ninguno conocía, diferencia de −0,010 [−0,030; 0,020] de "
    "macro-F1. No se descarta que pierda más de 0,02.",
    Check("champion", False, -0.02, -0.01, -0.015, -0.005, 900, champion="popularity@4"): "Frente "
    "a popularity@4, en 900 filas que ninguno conocía, diferencia de −0,010 [−0,015; −0,005] de "
    "macro-F1. Pierde con seguridad.",
    Check("champion", True, -0.02, 0.01, 0.0, 0.02, 300, "ES", "popularity@4"): "En España, "
    "diferencia de 0,010 [0,000; 0,020].",
    Check("champion", False, -0.02, -0.04, -0.06, -0.02, 300, "ES", "popularity@4"): "En España, "
    "diferencia de −0,040 [−0,060; −0,020]. Se acepta perder como mucho 0,02.",
}  # fmt: skip


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.code}-{check.passed}")
def test_a_check_is_a_sentence_with_its_numbers(check: Check) -> None:
    assert gate.reason(check) == CHECKS[check]


def test_a_verdict_says_what_failed_and_nothing_else() -> None:
    good, *_ = CHECKS
    assert gate.summary(Verdict((good,))).startswith("El modelo cumple todos los criterios: **se")
    assert gate.summary(Verdict((good, FAILED))) == (
        f"El modelo **no se promociona**. {SENTENCES['gate_refused']}"
    )
    assert [gate.passes(check) for check in (good, FAILED)] == ["sí", "NO"]


def test_every_code_has_its_words() -> None:
    assert set(gate.CRITERION_NAMES) == set(get_args(Criterion))
    assert set(decisions.REASONS) == set(get_args(Reason))


def test_every_input_of_the_model_has_a_spanish_name() -> None:
    inputs = Inputs((1, 2, 24), ("CO", "DE"), "api").names()
    shown = [names.model_input(name) for name in inputs]
    assert not [name for name in shown if "_" in name]
    assert len(set(shown)) == len(inputs)
    assert names.model_input("plays_lag_1") == "reproducciones hace 1 ventana"
    assert names.model_input("plays_in_ES") == "reproducciones en España"
    assert names.model_input("unheard_of") == "unheard_of"
