"""Releasing a model: registered always, champion if the gate approved it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..config.errors import UserError
from . import gate
from .gate import Verdict
from .registry import Registry
from .training_result import TrainingResult


@dataclass(frozen=True)
class Release:
    """Who serves after a deployment."""

    version: str
    since: datetime | None
    """First window of a new champion; None when the champion stays."""


def release(
    result: TrainingResult,
    verdict: Verdict,
    registry: Registry,
    folder: Path,
    next_window: datetime,
    rewind: Callable[[datetime], object],
) -> Release:
    """Register a run's bundle, promote it if the gate approved it, and say who serves.

    The first champion predicts from the end of its training on. A later one takes over at the
    next window: what was predicted before stays as it was. A model that was not approved is
    registered and left aside; the champion goes on.

    Args:
        result: the training run.
        verdict: of the gate on it.
        registry: where.
        folder: the run's folder, with its ``bundle``.
        next_window: start of the first window that is not closed.
        rewind: sends the streaming job back to the first champion's first window, which is
            closed already. It is called before the promotion is recorded: cut off in between,
            a deployment does both when it is repeated.

    Raises:
        UserError: the gate refused the model and there is no champion to go on with.
    """
    before = registry.champion()
    version = registry.register(folder / "bundle", gate.labels(verdict))
    if verdict.approved and version != before:
        trained = datetime.fromisoformat(result.boundaries["training_end"])
        since = trained if before is None else max(trained, next_window)
        if before is None:
            rewind(since)
        registry.promote(version, since)
        return Release(version, since)
    if before is None:
        raise UserError(
            "El modelo no cumple los criterios y no hay otro en servicio: no se despliega nada. "
            "Mira el veredicto del cuaderno 05 o de «spotify-mlops evaluate», o cambia "
            "«gate_min_macro_f1» y «gate_min_accuracy»."
        )
    registry.align()  # a deployment that was cut off may have promoted it already
    return Release(before, None)


def rollback(registry: Registry, history: list[str], next_window: datetime) -> Release:
    """Make the champion before the present one serve again, from the next window on.

    Args:
        registry: where.
        history: the versions that were champion, one a period of service, oldest first.
        next_window: start of the first window that is not closed.

    Raises:
        UserError: there is no other to go back to.
    """
    before = [version for version in history if version != history[-1]]
    if not before:
        raise UserError("No hay un campeón anterior al que volver.")
    registry.promote(before[-1], next_window)
    return Release(before[-1], next_window)
