"""What to do next with the model: a function of the log of decisions and of the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Literal

from ...config.params import Params
from ...config.sections import Promotion
from .decisions import Decision, Facts, Reason, Step
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
    """One model less another on the same rows, in macro-F1; which, says who holds it."""

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
    """Challenger less champion, in the stages that compare two models, since they began."""
    fallback: Comparison | None = None
    """Persistence less a steady champion, over the last ``fallback_windows``."""
    baseline: str | None = None
    """The version that is persistence, once it is registered."""


def decide(state: State, evidence: Evidence, params: Params) -> Decision | None:
    """Return the next step, or None to wait.

    A steady champion that is surely worse than persistence gives way to it. Otherwise it is
    retrained when its quality is below its floor over a whole ``monitor_windows``, or when drift
    persists, and not within ``retrain_cooldown`` windows of the last time; and so is persistence,
    whatever its quality, until a model beats it. A challenger goes from shadow to canary to
    champion as long as it is not worse by more than ``promotion_regression``, nor at all than
    persistence; a new champion whose live score is surely worse than the old one's is rolled back.
    """
    if state.stage == "steady":
        return _fall_back(state, evidence, params) or _retrain(state, evidence, params)
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
    return _challenge(state, evidence, compared, params.promotion)


def _fall_back(state: State, evidence: Evidence, params: Params) -> Decision | None:
    compared = evidence.fallback
    if evidence.baseline is None or compared is None or compared.low <= 0:
        return None
    if compared.windows < params.monitor.fallback_windows:
        return None
    return Decision(
        "promoted", evidence.window_start, evidence.baseline, state.champion,
        "worse_than_persistence", compared.difference, 0.0,
        facts=Facts(compared.windows, compared.low, compared.high),
    )  # fmt: skip


def _retrain(state: State, evidence: Evidence, params: Params) -> Decision | None:
    if state.last_retrain is not None:
        rested = (evidence.window_start - state.last_retrain) // params.windows.window
        if rested < params.monitor.retrain_cooldown:
            return None
    asked = partial(Decision, "retrain", evidence.window_start, state.champion, None)
    if state.champion == evidence.baseline:
        return asked("persistence_serves")
    quality, drift = evidence.quality, evidence.drift
    if quality is not None and quality.is_low(params.monitor.windows):
        facts = Facts(windows=quality.windows)
        return asked("low_accuracy", quality.accuracy, quality.floor, facts=facts)
    if drift is not None:
        facts = Facts(params.monitor.drift_patience, input=drift.input, seen_at=drift.window_start)
        return asked("drift", drift.statistic, 1.0, facts=facts)
    return None


def _challenge(
    state: State, evidence: Evidence, compared: Comparison, promotion: Promotion
) -> Decision:
    assert state.challenger is not None
    limit = 0.0 if state.champion == evidence.baseline else -promotion.regression
    in_shadow = state.stage == "shadow"
    step: Step
    reason: Reason
    share = None
    if compared.difference < limit:
        step, reason = "refused" if in_shadow else "rolled_back", "worse"
    elif in_shadow:
        step, reason, share = "canary", "worth_a_canary", promotion.canary_share
    else:
        step, reason = "promoted", "worth_promoting"
    return Decision(
        step, evidence.window_start, state.challenger, state.champion, reason,
        compared.difference, limit,
        facts=Facts(compared.windows, compared.low, compared.high, share=share),
    )  # fmt: skip


def _probation(state: State, evidence: Evidence, compared: Comparison) -> Decision:
    assert state.challenger is not None
    step: Step
    reason: Reason
    if compared.high < 0:
        step, reason = "rolled_back", "surely_worse"
    else:
        step, reason = "confirmed", "not_surely_worse"
    return Decision(
        step, evidence.window_start, state.champion, state.challenger, reason,
        compared.difference, 0.0,
        facts=Facts(compared.windows, compared.low, compared.high),
    )  # fmt: skip
