"""Whether what the model sees, or says, is still what it was when it learned.

The statistic of a span of windows is the largest population stability index (PSI) among the
model's inputs and its predicted levels, each in units of its own mean under no drift. Its
threshold is not a rule of thumb (0.1, 0.25): the windows before the end of the training are
split in two; the first half says what is usual, the second how far usual spans are from it, and
an alarm is a span further than all of those by a factor. That is split conformal prediction
(Vovk et al., 2005) with a margin for windows that resemble their neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import numpy as np
import polars as pl

from ...domain.features.names import SEASON_FEATURES
from ...domain.labels import LEVELS

BINS = 10
PREDICTED = "predicted_level"
CALENDAR = ("hour_of_day", *SEASON_FEATURES)
"""Inputs that the clock decides: they move by themselves."""


@dataclass(frozen=True)
class Alarm:
    """What was found at a window."""

    window_start: datetime
    statistic: float
    """In units of the threshold: above 1 is an alarm."""
    input: str
    """The input that is furthest."""

    @property
    def raised(self) -> bool:
        """Whether it is further than the usual."""
        return self.statistic > 1


@dataclass(frozen=True)
class Reference:
    """What is usual for a model's inputs and predictions."""

    names: tuple[str, ...]
    edges: tuple[np.ndarray, ...]
    """Inner edges of each input's bins: quantiles of the first half."""
    usual: np.ndarray
    """(names + 1, BINS): counts of the first half; the last row is the predicted levels."""
    unit: np.ndarray
    """(names + 1,): mean PSI of a span of the second half."""
    threshold: float
    span: int
    """Windows in a span: a day of hours, so that the time of day evens out."""

    @classmethod
    def fit(cls, rows: pl.DataFrame, names: Sequence[str], span: int, margin: float) -> Self:
        """Learn what is usual from windows without drift.

        Args:
            rows: ``window_start``, the inputs ``names`` and ``predicted`` (a level).
            names: the model's inputs; those of the calendar are left out.
            span: windows that are looked at together.
            margin: factor on the largest usual statistic.

        Raises:
            ValueError: there are fewer than four spans.
        """
        windows = rows["window_start"].unique().sort()
        if len(windows) < 4 * span:
            raise ValueError(f"{len(windows)} windows are fewer than four spans of {span}")
        half = windows[len(windows) // 2]
        kept = tuple(name for name in names if name not in CALENDAR)
        first = rows.filter(pl.col("window_start") < half)
        edges = tuple(
            np.unique(np.quantile(first[name].to_numpy(), np.linspace(0, 1, BINS + 1)[1:-1]))
            for name in kept
        )
        unfit = cls(kept, edges, np.zeros(0), np.zeros(0), 1.0, span)
        usual = unfit._counts(first)[1].sum(axis=0)
        second = rows.filter(pl.col("window_start") >= half)
        psi = _stability(unfit._spans(unfit._counts(second)[1]), usual)
        unit = np.maximum(psi.mean(axis=0), 1e-9)
        threshold = margin * float((psi / unit).max())
        return cls(kept, edges, usual, unit, threshold, span)

    def alarms(self, rows: pl.DataFrame) -> list[Alarm]:
        """Return the statistic at each window that ends a span, oldest first.

        Args:
            rows: as for `fit`, of consecutive windows.
        """
        windows, counts = self._counts(rows)
        if len(windows) < self.span:
            return []
        psi = _stability(self._spans(counts), self.usual) / self.unit
        ends = windows[self.span - 1 :]
        names = (*self.names, PREDICTED)
        return [
            Alarm(end, float(values.max() / self.threshold), names[int(values.argmax())])
            for end, values in zip(ends, psi, strict=True)
        ]

    def _counts(self, rows: pl.DataFrame) -> tuple[list[datetime], np.ndarray]:
        """Return the windows and, of each, how many rows are in each bin: (windows, names+1, B)."""
        windows = rows["window_start"].unique().sort()
        index = np.searchsorted(
            windows.to_physical().to_numpy(), rows["window_start"].to_physical()
        )
        levels = rows["predicted"].cast(pl.Enum(LEVELS)).to_physical().to_numpy()
        columns = [
            np.searchsorted(edges, rows[name].to_numpy(), side="right")
            for name, edges in zip(self.names, self.edges, strict=True)
        ]
        counts = [
            np.bincount(index * BINS + bins, minlength=len(windows) * BINS).reshape(-1, BINS)
            for bins in (*columns, levels)
        ]
        return windows.to_list(), np.stack(counts, axis=1).astype(float)

    def _spans(self, counts: np.ndarray) -> np.ndarray:
        """Return the sums over each ``span`` windows: (windows - span + 1, names + 1, BINS)."""
        total = np.concatenate([np.zeros((1, *counts.shape[1:])), counts.cumsum(axis=0)])
        return total[self.span :] - total[: -self.span]


def _stability(found: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Return the PSI of each span and input: sum of (p - q) ln(p / q), half a row in each bin.

    Bins that no row can be in (an input with few values has fewer edges) add nothing.
    """
    used = (usual.sum(axis=-1, keepdims=True) > 0) & ((usual > 0) | (found > 0))
    p = np.where(used, found + 0.5, 0.0)
    q = np.where(used, usual + 0.5, 0.0)
    p = p / np.maximum(p.sum(axis=-1, keepdims=True), 1e-12)
    q = q / np.maximum(q.sum(axis=-1, keepdims=True), 1e-12)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(used, (p - q) * np.log(p / q), 0.0)
    return terms.sum(axis=-1)


def persisting(alarms: Sequence[Alarm], patience: int) -> Alarm | None:
    """Return the last alarm if the last ``patience`` windows all raised one."""
    last = alarms[-patience:]
    return last[-1] if len(last) == patience and all(alarm.raised for alarm in last) else None
