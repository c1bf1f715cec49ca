"""The few numbers that the index page opens with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..params import Params
from ..spanish import interval, number, percent


@dataclass(frozen=True)
class Figure:
    """A number with its name and what to compare it with."""

    name: str
    value: str
    note: str
    good: bool | None = None


def headline(facts: Mapping[str, Any], params: Params) -> dict[str, Any]:
    """Return the index page's sentence and figures from what the notebooks recorded.

    Args:
        facts: see `spotify_mlops.story.show.Facts`; what is missing is left out.
        params: the thresholds of the gate.

    Returns:
        ``decision`` (a sentence or None), ``approved`` (or None) and ``figures``.
    """
    figures = []
    for key, name in (("macro_f1", "Macro-F1"), ("accuracy", "Exactitud")):
        if key not in facts:
            continue
        score = facts[key]
        beside = [
            f"{label} {number(facts[f'{key}_{baseline}'], 3)}"
            for baseline, label in (("persistence", "persistencia"), ("majority", "mayoría"))
            if f"{key}_{baseline}" in facts
        ]
        figures.append(
            Figure(
                name,
                number(score["value"], 3),
                f"intervalo 95 % {interval(score['value'], score['low'], score['high'])[6:]}"
                + (f" · {' · '.join(beside)}" if beside else ""),
                score["value"] > max((facts.get(f"{key}_persistence", 0.0)), 0.0),
            )
        )
    if "cost_saving" in facts:
        figures.append(
            Figure(
                "Ahorro frente a no tener modelo",
                percent(facts["cost_saving"], 0),
                "coste de las decisiones equivocadas, frente a la persistencia",
                facts["cost_saving"] > 0,
            )
        )
    if "audit_holds" in facts:
        holds = bool(facts["audit_holds"])
        figures.append(
            Figure(
                "Auditoría del registro",
                "exacta" if holds else "no cuadra",
                f"{number(facts.get('audit_records'))} registros, uno por uno",
                holds,
            )
        )
    return {
        "decision": facts.get("decision"),
        "approved": facts.get("approved"),
        "figures": figures,
    }
