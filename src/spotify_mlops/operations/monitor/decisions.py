"""The log of decisions: what was done with which model, when and why. The state is read from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from ...config.params import Params
from ...io import bigquery
from ...io.bigquery import appending, frames, tables

Step = Literal["retrain", "refused", "shadow", "canary", "promoted", "rolled_back", "confirmed"]
"""``retrain``: a challenger was asked for. ``refused``: the gate, or its shadow, found it wanting.
``shadow``: it predicts beside the champion, unseen. ``canary``: it predicts a share of the tracks.
``promoted``: it is the champion, on probation. ``rolled_back``: the champion before it is back.
``confirmed``: probation is over."""


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
    reason: str
    """In Spanish, with the numbers."""
    value: float | None = None
    limit: float | None = None
    effective_from: datetime | None = None
    """First window that the step changes."""

    def row(self, decided_at: datetime) -> dict[str, Any]:
        """Return the decision as a row of ``spotify_decisions``."""
        return {"decided_at": decided_at} | vars(self)


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
    return [Decision(**row) for row in found.drop("decided_at").to_dicts()]
