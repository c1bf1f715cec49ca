"""The few numbers that the index page opens with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...config.params import Params
from ..es import interval, number, percent


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
        facts: see `spotify_mlops.presentation.narrative.show.Facts`; what is missing is left out.
        params: the thresholds of the gate.

    Returns:
        ``decision`` (a sentence or None), ``approved`` (or None) and ``figures``.
    """
    figures = []
    if "macro_f1" in facts:
        score = facts["macro_f1"]
        beside = [
            f"{label} {number(facts[f'macro_f1_{baseline}'], 3)}"
            for baseline, label in (("persistence", "persistencia"), ("majority", "mayoría"))
            if f"macro_f1_{baseline}" in facts
        ]
        range_ = interval(score["value"], score["low"], score["high"]).partition(" ")[2]
        figures.append(
            Figure(
                "Macro-F1",
                number(score["value"], 3),
                " · ".join([f"intervalo 95 % {range_}", *beside]),
                score["low"] > facts.get("macro_f1_persistence", 0.0),
            )
        )
    if "rises" in facts:
        found = facts["rises"]
        right, low, high, chance = (
            percent(found[name], 0) for name in ("value", "low", "high", "chance")
        )
        figures.append(
            Figure(
                "De las que dice que subirán, suben",
                right,
                f"las {found['k']} primeras de cada país y ventana · intervalo 95 % "
                f"[{low}; {high}] · al azar {chance}",
                found["low"] > found["chance"],
            )
        )
    elif "cost_saving" in facts:
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
