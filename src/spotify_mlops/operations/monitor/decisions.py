"""The log of decisions: what was done with which model, when and why. The state is read from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import msgspec

from ...config.histories import History
from ...config.params import Params
from ...io import bigquery
from ...io.bigquery import appending, frames, tables
from ...model.gate import Check

Step = Literal["retrain", "refused", "shadow", "canary", "promoted", "rolled_back", "confirmed"]
"""``retrain``: a challenger was asked for. ``refused``: the gate, or its shadow, found it wanting.
``shadow``: it predicts beside the champion, unseen. ``canary``: it predicts a share of the tracks.
``promoted``: it is the champion, on probation. ``rolled_back``: the champion before it is back.
``confirmed``: probation is over."""
Reason = Literal[
    "low_accuracy",
    "drift",
    "persistence_serves",
    "training_failed",
    "gate_approved",
    "gate_refused",
    "worse",
    "worth_a_canary",
    "worth_promoting",
    "surely_worse",
    "not_surely_worse",
    "worse_than_persistence",
]
"""``persistence_serves``: since a champion was surely worse than it (``worse_than_persistence``).
``worse``: a challenger loses more than it may. ``surely_worse``: a new champion loses with its
whole interval to the one before."""


@dataclass(frozen=True)
class Facts:
    """The evidence of a step beside its ``value`` and ``limit``; what is None is of other steps."""

    windows: int | None = None
    """How many were looked at."""
    low: float | None = None
    high: float | None = None
    """Interval of the value."""
    input: str | None = None
    """That drifts."""
    seen_at: datetime | None = None
    """Last window in which it did."""
    share: float | None = None
    """Of the tracks, that a canary predicts."""
    checks: tuple[Check, ...] = ()
    """That failed."""
    error: str | None = None
    """Why the training did not end, as the service says it."""
    history: History | None = None
    """That a retrained model learned from."""
    histories: tuple[dict[str, Any], ...] = ()
    """Those that were tried, the best first: ``history``, ``log_loss``, ``macro_f1``."""


@dataclass(frozen=True)
class Decision:
    """One step in the life of a model."""

    step: Step
    window_start: datetime
    """The last window that the evidence holds."""
    model: str
    """The version that the step is about; of ``retrain``, the champion."""
    other: str | None
    """The champion that it was compared with, or that it takes the place of."""
    reason: Reason
    """Of what an earlier release wrote, a sentence."""
    value: float | None = None
    limit: float | None = None
    effective_from: datetime | None = None
    """First window that the step changes."""
    facts: Facts = field(default_factory=Facts)

    def row(self, decided_at: datetime) -> dict[str, Any]:
        """Return the decision as a row of ``spotify_decisions``."""
        known = {name: fact for name, fact in vars(self.facts).items() if fact not in (None, ())}
        facts = msgspec.json.encode(known).decode()
        return vars(self) | {"decided_at": decided_at, "facts": facts}


def write(params: Params, decision: Decision, decided_at: datetime) -> None:
    """Append a decision to the log.

    Raises:
        ServiceError: BigQuery does not take it.
    """
    rows = frames.frame(tables.DECISIONS, [decision.row(decided_at)])
    appending.append(params, tables.DECISIONS, rows)


def read(params: Params) -> list[Decision]:
    """Return all decisions, oldest first."""
    found = bigquery.query(
        params, "SELECT * FROM `{dataset}.spotify_decisions` ORDER BY decided_at, window_start"
    )
    return [
        Decision(**row | {"facts": msgspec.json.decode(row["facts"] or "{}", type=Facts)})
        for row in found.drop("decided_at").to_dicts()
    ]
