"""Criteria for models of so few events or days that what one is worth is not the question."""

from __future__ import annotations

GATE = {
    "gate_min_accuracy": 0,
    "gate_min_macro_f1": 0,
    "gate_max_ece": 1,
    "gate_min_rise_lift": 0,
}
"""Parameters by which the gate lets any model pass that beats persistence and answers in time."""
