"""Why the monitor did what it did: a sentence a reason, for Python and for SQL.

A Grafana panel is SQL alone, so each sentence is a template that both fill in. A field is one of
`Decision` or of its `Facts`, perhaps with ``-`` or ``100*`` before it; after the colon, the
decimals of a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from string import Formatter
from typing import Any

from ...config.spanish import DECIMALS, MINUS, number
from ...operations.monitor.decisions import Decision, Reason
from . import gate
from .names import DECISION_NAMES, HISTORY_NAMES, model_input, named_sql
from .numbers import moment

_DIFFERENCE = "{value:3} [{low:3}; {high:3}] de macro-F1 frente"
_COMPARED = f"En {{windows:0}} ventanas, {_DIFFERENCE} al campeón"
_FIRST = f"En sus primeras {{windows:0}} ventanas, {_DIFFERENCE} a la versión {{other}}"
REASONS: dict[Reason, str] = {
    "low_accuracy": "La exactitud de las últimas {windows:0} ventanas, {value:3}, no alcanza "
    "{limit:3}.",
    "drift": "«{input}» lleva {windows:0} ventanas lejos de lo habitual (a {value:1} veces su "
    "límite el {seen_at}).",
    "persistence_serves": "Sirve la persistencia: se busca un modelo que acierte más.",
    "training_failed": "El entrenamiento no acabó: {error}",
    "gate_approved": "La puerta lo aprueba: predice a la sombra del campeón.",
    "gate_refused": "{checks}",
    "worse": f"{_COMPARED}: pierde más de {{-limit:3}}.",
    "worth_a_canary": f"{_COMPARED}: pasa a predecir el {{100*share:0}} % de las canciones.",
    "worth_promoting": f"{_COMPARED}: pasa a campeón.",
    "surely_worse": f"{_FIRST}, que vuelve.",
    "not_surely_worse": f"{_FIRST}: sigue.",
    "worse_than_persistence": "Es la persistencia (cada canción sigue como está), que acierta más "
    f"que el campeón. En {{windows:0}} ventanas, {_DIFFERENCE} a la versión {{other}}.",
}
_FIELD = re.compile(r"(-|100\*|)(\w+)")
_FACTORS = {"": 1, "-": -1, "100*": 100}
_COLUMNS = frozenset({"value", "limit", "other"})
"""Fields with a column of their own in ``spotify_decisions``; the others are in its ``facts``."""


def sentence(decision: Decision) -> str:
    """Return why a step was taken; what an earlier release wrote is a sentence already."""
    template = REASONS.get(decision.reason)
    if template is None:
        return decision.reason
    known = vars(decision) | vars(decision.facts)
    told = "".join(
        literal + ("" if name is None else _text(name, known[name], factor, decimals))
        for literal, name, factor, decimals in _parts(template)
    )
    history = decision.facts.history
    return told if history is None else f"{told} Aprendió {HISTORY_NAMES[history]}."


def line(decision: Decision) -> str:
    """Return a step of the model's life in one line: when, which version, what and why."""
    when = f"{decision.window_start:%Y-%m-%d %H:%M}"
    step = DECISION_NAMES[decision.step]
    return f"{when}  versión {decision.model}: {step}. {sentence(decision)}"


def sentence_sql(inputs: Iterable[str]) -> str:
    """Return the SQL expression of `sentence` on a row of ``spotify_decisions``.

    Of the checks that the gate found wanting it has the names: their numbers are in
    ``spotify_model_metrics``.

    Args:
        inputs: the names that a model's inputs may have.
    """
    drifting = named_sql(_fact("input"), {name: model_input(name) for name in inputs})
    special = {"input": drifting, "seen_at": _moment_sql("seen_at"), "checks": _checks_sql()}
    cases = [
        f"WHEN '{code}' THEN CONCAT({', '.join(_expressions(template, special))})"
        for code, template in REASONS.items()
    ]
    history = _fact("history")
    learned = f"CONCAT(' Aprendió ', {named_sql(history, HISTORY_NAMES)}, '.')"
    return (
        f"CONCAT(CASE reason {' '.join(cases)} ELSE reason END, "
        f"IF({history} IS NULL, '', {learned}))"
    )


def _parts(template: str) -> Iterator[tuple[str, str | None, str, str]]:
    """Return each literal with the field after it: its name, factor and decimals."""
    for literal, field, decimals, _ in Formatter().parse(template):
        found = _FIELD.fullmatch(field or "")
        yield (literal, found[2], found[1], decimals or "") if found else (literal, None, "", "")


def _text(name: str, value: Any, factor: str, decimals: str) -> str:
    if decimals:
        return number(_FACTORS[factor] * value, int(decimals))
    if name == "checks":
        return " ".join(map(gate.reason, value))
    if name == "input":
        return model_input(value)
    return moment(value) if isinstance(value, datetime) else str(value)


def _expressions(template: str, special: Mapping[str, str]) -> Iterator[str]:
    for literal, name, factor, decimals in _parts(template):
        if literal:
            yield f"'{literal}'"
        if name is None:
            continue
        column = special.get(name) or (f"`{name}`" if name in _COLUMNS else _fact(name))
        if decimals:
            value = f"{factor}CAST({column} AS FLOAT64)"
            column = f"TRANSLATE(FORMAT('%.{decimals}f', {value}), '.-', '{DECIMALS}{MINUS}')"
        yield column


def _fact(name: str) -> str:
    return f"JSON_VALUE(facts, '$.{name}')"


def _moment_sql(name: str) -> str:
    """Return ``05/01/2026, 14:00`` of a moment in ``facts``."""
    day, month, year, time = (
        f"SUBSTR({_fact(name)}, {start}, {length})"
        for start, length in ((9, 2), (6, 2), (1, 4), (12, 5))
    )
    return f"CONCAT({day}, '/', {month}, '/', {year}, ', ', {time})"


def _checks_sql() -> str:
    named = ", ".join(
        f"IF(facts LIKE '%\"code\":\"{code}\"%', ', {name}', '')"
        for code, name in gate.CRITERION_NAMES.items()
    )
    return f"'No pasa la puerta: ', SUBSTR(CONCAT({named}), 3), '.'"
