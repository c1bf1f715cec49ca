"""Deploying a profile, step by step: what each is like, and what is done about it.

No step remembers anything: each asks the world whether it is done, so that a deployment that was
cut off, wherever it was, goes on from there when it is done again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError

from ....config.errors import ParamsError, ServiceError, UserError, is_outage, one_line
from ....config.params import Params
from ....config.progress import Progress, silent
from ....io import answering
from ....io.google_apis import Apis, RefusedError
from ....model.training_result import TrainingResult
from ... import audit as auditing
from .. import cost
from ..check import built, check
from ..check.finding import Context, Finding
from ..check.running import guarded
from . import images, platform, service
from .step import STATES, Deployment, Stage, Step

_MADE_BY = {"images": built.IMAGES, "platform": (*platform.MADE, *platform.ANSWERING)}
"""The checks that a later step sets right."""
AUDIT = "audit"


@dataclass(frozen=True)
class Report:
    """How each step is, and what the audit found at the end."""

    stages: tuple[Stage, ...]
    problems: tuple[Finding, ...]
    """What stopped it, where that was the profile or its project."""
    audit: auditing.AuditReport | None
    stopped: Stage | None
    """The first step that cannot be done."""

    @property
    def is_well(self) -> bool:
        """Tell that nothing is in the way, and that the audit, where it was done, holds."""
        return self.stopped is None and (self.audit is None or self.audit.holds)


def deploy(
    params: Params,
    learn: Callable[[Params], TrainingResult],
    *,
    without: Collection[str] = (),
    dry_run: bool = True,
    wait: float = 0.0,
    say: Progress = silent,
) -> Report:
    """Do what is still to be done of a profile's form in the cloud, and audit it.

    Args:
        params: of the profile.
        learn: trains a model with what the tables have, where there is no champion.
        without: steps that are left out, by their codes.
        dry_run: only look.
        wait: seconds, as `audit.audit` takes them: a job that has just begun needs some.
        say: is told of each step.

    Raises:
        ParamsError: nothing of the profile is in the cloud, or it would cost more than its limit.
        UserError: a step failed; the message has its name. What was done stays done.
    """
    if cost.is_all_local(params):
        raise ParamsError(
            "Este perfil no tiene nada en la nube que desplegar. En esta máquina lo hace "
            "«spotify-mlops run»."
        )
    cost.check_limit(params)
    deployment = Deployment(Context(params, Apis(params)), learn, frozenset(without), dry_run)
    stopped = None
    for number, step in enumerate(STEPS, start=1):
        stage = _stage(deployment, step, _numbered(say, number, step.code))
        deployment.stages.append(stage)
        if _is_in_the_way(stage, step, dry_run):
            stopped = stopped or stage
            if not dry_run:
                break
    found = None
    if stopped is None or dry_run:
        stage, found = _last(deployment, wait, _numbered(say, len(CODES), AUDIT))
        deployment.stages.append(stage)
    return Report(tuple(deployment.stages), tuple(deployment.problems), found, stopped)


def _stage(deployment: Deployment, step: Step, say: Progress) -> Stage:
    if step.code in deployment.without:
        return Stage(step.code, "omitted")
    say("se mira")
    found = _looked(deployment, step)
    if deployment.dry_run or found.state != "off" or step.do is None:
        if not deployment.dry_run and found.state == "good":
            say("ya está")
        return Stage(step.code, STATES[found.state], found)
    say("se hace")
    with _named(step.code):
        found = step.do(deployment, say)
    return Stage(step.code, STATES[found.state], found)


def _looked(deployment: Deployment, step: Step) -> Finding:
    """Return what is found of a step; what does not answer is not known."""
    found = guarded(step.code, lambda _: step.look(deployment), deployment.context, "unknown")
    assert found is not None
    return found


def _is_in_the_way(stage: Stage, step: Step, dry_run: bool) -> bool:
    """Tell whether what follows cannot be done: to begin what may be done already is no help."""
    return stage.state == "blocked" or (
        stage.state == "unknown" and step.do is not None and not dry_run
    )


def _last(
    deployment: Deployment, wait: float, say: Progress
) -> tuple[Stage, auditing.AuditReport | None]:
    """Audit what was deployed: that is no state to be reached, and is done each time."""
    if AUDIT in deployment.without:
        return Stage(AUDIT, "omitted"), None
    if deployment.dry_run:
        return Stage(AUDIT, "to_do", Finding(AUDIT, "off", "at_the_end")), None
    params = deployment.params
    say("se comprueba que cada registro está contabilizado")
    with _named(AUDIT):
        answering.require(params, "kafka", "bigquery")
        report = auditing.recorded(params, wait=wait)
    finding = Finding(AUDIT, *(("good", "holds") if report.holds else ("bad", "red")))
    return Stage(AUDIT, STATES[finding.state], finding), report


def _numbered(say: Progress, number: int, code: str) -> Progress:
    return lambda message: say(f"[{number}/{len(CODES)}] {code}: {message}")


@contextmanager
def _named(code: str) -> Iterator[None]:
    """Say in an error in which step it was."""
    try:
        yield
    except Exception as error:
        refused = isinstance(error, (RefusedError, GoogleAPICallError, GoogleAuthError))
        if not (refused or isinstance(error, UserError) or is_outage(error)):
            raise
        raise _failed(code, error) from error


def _failed(code: str, error: Exception) -> UserError:
    kind = type(error) if isinstance(error, UserError) else ServiceError
    said = str(error) if isinstance(error, UserError) else one_line(error, 300)
    return kind(
        f"Paso «{code}»: {said}\n"
        "Lo hecho queda hecho: repite la orden cuando esté resuelto, y sigue por este paso."
    )


def _ready(deployment: Deployment) -> Finding:
    """Look what is wrong with the profile or its project that no later step sets right."""
    found = check(deployment.params)
    steps = [step for step in _MADE_BY if step not in deployment.without]
    later = {name for step in steps for name in _MADE_BY[step]}
    bad = [
        each
        for each in found
        if each.state == "bad" and each.check not in later and not _is_of_images(each, deployment)
    ]
    return deployment.judged("check", bad, "ready", {"count": len(found)})


def _is_of_images(found: Finding, deployment: Deployment) -> bool:
    """Tell whether all that is the example's is the digest of an image that will be built."""
    if found.check != "demo" or "images" in deployment.without:
        return False
    image = deployment.params.dataflow.image
    return found.facts["names"] == ["dataflow_image"] and built.DEMO_PROJECT not in image


STEPS = (
    Step("check", _ready),
    Step("images", images.look, images.make),
    Step("platform", platform.look, platform.make),
    Step("model", service.champion, service.make_champion),
    Step("endpoint", service.endpoint, service.serve),
    Step("stream", service.job, service.start_job),
    Step("dashboards", service.dashboards),
)
"""In this order; the audit comes after them."""
CODES = (*(step.code for step in STEPS), AUDIT)
