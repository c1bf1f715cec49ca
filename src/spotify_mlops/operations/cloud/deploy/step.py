"""A step of a deployment: how the world is asked whether it is done, and how it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ....config.params import Params
from ....config.progress import Progress
from ....model.training_result import TrainingResult
from ..check.finding import Context, Finding

State = Literal["done", "to_do", "unknown", "blocked", "omitted"]
STATES: dict[str, State] = {
    "good": "done",
    "off": "to_do",
    "unknown": "unknown",
    "bad": "blocked",
}
"""Of a step, by what was found of it."""


@dataclass(frozen=True)
class Stage:
    """A step, and how it is."""

    step: str
    state: State
    finding: Finding | None = None
    """None of one that is left out."""


@dataclass
class Deployment:
    """What is deployed, and what has been found on the way."""

    context: Context
    learn: Callable[[Params], TrainingResult]
    """Trains a model with what the tables have."""
    without: frozenset[str]
    dry_run: bool
    stages: list[Stage] = field(default_factory=list)
    """Of the steps so far."""
    problems: list[Finding] = field(default_factory=list)
    """What is wrong with the profile, or its project, that no step to come mends."""

    @property
    def params(self) -> Params:
        """Return what says what is wanted."""
        return self.context.params

    def judged(
        self, code: str, bad: Sequence[Finding], well: str, facts: Mapping[str, Any]
    ) -> Finding:
        """Take note of what is wrong, and return what that makes of a step.

        Args:
            code: of the step.
            bad: what the checks found wrong; nothing is well.
            well: the reason then.
            facts: of the step, besides the names of the checks.
        """
        self.problems += bad
        told = {"names": [each.check for each in bad], **facts}
        return Finding(code, "bad" if bad else "good", "lacking" if bad else well, told)


@dataclass(frozen=True)
class Step:
    """A part of the whole, by its code."""

    code: str
    look: Callable[[Deployment], Finding]
    """Asks, and changes nothing. ``good`` is done, ``off`` to do, ``bad`` what cannot be."""
    do: Callable[[Deployment, Progress], Finding] | None = None
    """Does it, waits until it is done, and returns what is there then; None: it is only looked at.

    Cut off anywhere, doing it again goes on from there.
    """
