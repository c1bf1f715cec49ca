"""What to do next with the model: a function of the log of decisions and of the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ...config.params import Params
from ...config.spanish import interval, model_input, moment, number
from .decisions import Decision
from .drift import Alarm

Stage = Literal["steady", "shadow", "canary", "probation"]


@dataclass(frozen=True)
class State:
    """Where the model's life is."""

    stage: Stage
    champion: str
    challenger: str | None = None
    """In shadow or canary; on probation, the champion before, to go back to."""
    since: datetime | None = None
    """First window that counts in this stage."""
    last_retrain: datetime | None = None

    @classmethod
    def of(cls, decisions: Sequence[Decision], champion: str) -> State:
        """Read the state from the log.

        Args:
            decisions: oldest first.
            champion: the promotions': one by hand (notebook 06) is in no log, and ends
                whatever stage another model was in.
        """
        retrains = [d.window_start for d in decisions if d.step == "retrain"]
        steady = cls("steady", champion, last_retrain=max(retrains, default=None))
        staged = [d for d in decisions if d.step != "retrain"]
        if not staged:
            return steady
        last = staged[-1]
        stages: dict[str, Stage] = {
            "shadow": "shadow", "canary": "canary", "promoted": "probation",
        }  # fmt: skip
        stage = stages.get(last.step)
        served = last.model if stage == "probation" else last.other
        if stage is None or served != champion:
            return steady
        challenger = last.other if stage == "probation" else last.model
        return cls(stage, champion, challenger, last.effective_from, steady.last_retrain)


@dataclass(frozen=True)
class Quality:
    """The champion's score over the last windows, whatever their number."""

    windows: int
    accuracy: float
    floor: float
    """Below this it is retrained."""

    def is_low(self, windows: int) -> bool:
        """Tell whether it is below the floor over at least so many windows."""
        return self.windows >= windows and self.accuracy < self.floor


@dataclass(frozen=True)
class Comparison:
    """Challenger less champion on the same rows, in macro-F1."""

    windows: int
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Evidence:
    """What is known at a window."""

    window_start: datetime
    """The last window whose labels are known."""
    quality: Quality | None
    drift: Alarm | None
    """An alarm that persists."""
    comparison: Comparison | None
    """In the stages that compare two models, since they began."""


def decide(state: State, evidence: Evidence, params: Params) -> Decision | None:
    """Return the next step, or None to wait.

    A steady champion is retrained when its quality is below its floor over a whole
    ``monitor_windows``, or when drift persists, and not within ``retrain_cooldown`` windows of
    the last time. A challenger goes from shadow to canary to champion as long as it is not worse
    by more than ``promotion_regression``; a new champion whose live score is surely worse than
    the old one's is rolled back.
    """
    if state.stage == "steady":
        return _retrain(state, evidence, params)
    needed = {
        "shadow": params.promotion.shadow_windows,
        "canary": params.promotion.canary_windows,
        "probation": params.promotion.probation_windows,
    }[state.stage]
    compared = evidence.comparison
    if compared is None or compared.windows < needed or state.challenger is None:
        return None
    if state.stage == "probation":
        return _probation(state, evidence, compared)
    return _challenge(state, evidence, compared, params)


def _retrain(state: State, evidence: Evidence, params: Params) -> Decision | None:
    if state.last_retrain is not None:
        rested = (evidence.window_start - state.last_retrain) // params.windows.window
        if rested < params.monitor.retrain_cooldown:
            return None
    quality, drift = evidence.quality, evidence.drift
    if quality is not None and quality.is_low(params.monitor.windows):
        reason = (
            f"La exactitud de las últimas {quality.windows} ventanas, "
            f"{number(quality.accuracy, 3)}, no alcanza {number(quality.floor, 3)}."
        )
        found, floor = quality.accuracy, quality.floor
        return Decision(
            "retrain", evidence.window_start, state.champion, None, reason, found, floor
        )
    if drift is not None:
        reason = (
            f"«{model_input(drift.input)}» lleva {params.monitor.drift_patience} ventanas lejos "
            "de lo "
            f"habitual (a {number(drift.statistic, 1)} veces su límite el "
            f"{moment(drift.window_start)})."
        )
        return Decision(
            "retrain", evidence.window_start, state.champion, None, reason, drift.statistic, 1.0
        )
    return None


def _challenge(state: State, evidence: Evidence, compared: Comparison, params: Params) -> Decision:
    assert state.challenger is not None
    shown = interval(compared.difference, compared.low, compared.high)
    limit = -params.promotion.regression
    measured = f"En {compared.windows} ventanas, {shown} de macro-F1 frente al campeón"
    worse = compared.difference < limit
    if worse:
        step: Literal["refused", "rolled_back", "canary", "promoted"]
        step = "refused" if state.stage == "shadow" else "rolled_back"
        reason = f"{measured}: pierde más de {number(-limit, 3)}."
    else:
        step = "canary" if state.stage == "shadow" else "promoted"
        canary = number(100 * params.promotion.canary_share)
        share = f": pasa a predecir el {canary} % de las canciones."
        reason = measured + (share if step == "canary" else ": pasa a campeón.")
    return Decision(
        step, evidence.window_start, state.challenger, state.champion, reason,
        compared.difference, limit,
    )  # fmt: skip


def _probation(state: State, evidence: Evidence, compared: Comparison) -> Decision:
    assert state.challenger is not None
    shown = interval(compared.difference, compared.low, compared.high)
    measured = f"En sus primeras {compared.windows} ventanas, {shown} de macro-F1 frente a {{}}"
    if compared.high < 0:
        reason = measured.format(f"la versión {state.challenger}, que vuelve")
        return Decision(
            "rolled_back", evidence.window_start, state.champion, state.challenger,
            f"{reason}.", compared.difference, 0.0,
        )  # fmt: skip
    reason = measured.format(f"la versión {state.challenger}: sigue")
    return Decision(
        "confirmed", evidence.window_start, state.champion, state.challenger, f"{reason}.",
        compared.difference, 0.0,
    )  # fmt: skip
