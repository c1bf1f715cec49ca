"""A decision of the monitor for each reason that it may have."""

from __future__ import annotations

from datetime import UTC, datetime

from spotify_mlops.model.gate import Check
from spotify_mlops.operations.monitor.decisions import Decision, Facts, Reason

AT = datetime(2026, 2, 1, 14, tzinfo=UTC)
FAILED = Check("macro_f1", False, 0.55, 0.5123, 0.49, 0.53, 900)
_COMPARED = {"windows": 24, "low": -0.0612, "high": -0.0391}
FACTS: dict[Reason, Facts] = {
    "low_accuracy": Facts(48),
    "drift": Facts(6, input="score_lag_2", seen_at=AT),
    "persistence_serves": Facts(),
    "training_failed": Facts(error="El entrenamiento x-1 no acabó: sin disco"),
    "gate_approved": Facts(),
    "gate_refused": Facts(checks=(FAILED,)),
    "worse": Facts(**_COMPARED),
    "worth_a_canary": Facts(**_COMPARED, share=0.3),
    "worth_promoting": Facts(**_COMPARED),
    "surely_worse": Facts(**_COMPARED),
    "not_surely_worse": Facts(**_COMPARED),
    "worse_than_persistence": Facts(**_COMPARED),
}


def decided(reason: Reason) -> Decision:
    """Return a decision with its evidence."""
    return Decision("retrain", AT, "2", "1", reason, -0.05, -0.02, facts=FACTS[reason])
