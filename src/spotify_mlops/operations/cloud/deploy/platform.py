"""The step of the platform: Pulumi's command on the program of ``infra/platform``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ....config import carried, paths
from ....config.errors import ParamsError, UserError, one_line
from ....config.params import Params
from ....config.progress import Progress
from ..check import CHECKS, built, identity
from ..check.finding import Finding
from ..check.running import run
from . import tools
from .step import Deployment

MADE = ("apis", *identity.ACCOUNTS, "subnetwork", "bucket", "bucket_permissions", "secrets")
"""The checks of what the program makes."""
ANSWERING = ("kafka", "bigquery", "vertex", "mongo", "dataflow")
"""The checks of what answers only then, and some of it in the platform's network alone."""
_TOOL = "pulumi"
_PACKAGES = ("pulumi", "pulumi_gcp", "pulumi_mongodbatlas", "pulumiverse_grafana")


def look(deployment: Deployment) -> Finding:
    """Look what the program would change, as Pulumi tells it."""
    facts: dict[str, Any] = {"stack": _stack(deployment.params), "tool": _TOOL}
    if not (_folder() / "Pulumi.yaml").is_file():
        return Finding("platform", "bad", "no_program", facts)
    try:
        if not tools.is_there(_TOOL):
            return Finding("platform", "bad", "no_tool", facts | _declared(deployment))
        if facts["stack"] not in _stacks(deployment.params):
            return Finding("platform", "off", "no_stack", facts | _declared(deployment))
        changes = _changes(deployment.params)
    except UserError as error:
        return Finding("platform", "bad", "said", facts | {"said": str(error)})
    if changes:
        told = [f"{kind} {count}" for kind, count in sorted(changes.items())]
        return Finding("platform", "off", "changes", facts | {"changes": told})
    return _made(deployment)


def make(deployment: Deployment, say: Progress) -> Finding:
    """Make what the program declares, and look whether it is as the other steps need it.

    Raises:
        ServiceError: Pulumi failed: what it had made stays, and the next time goes on from there.
    """
    up(deployment.params, say)
    return _made(deployment)


def up(params: Params, say: Progress) -> None:
    """Make the platform of params; their stack, too, where there is none."""
    stack = _stack(params)
    selected = [_TOOL, "stack", "select", stack, "--create", "--non-interactive"]
    made = [_TOOL, "up", "--yes", "--skip-preview", "--non-interactive", "--stack", stack]
    for argv in (selected, made):
        tools.run(argv, _folder(), say, _environment(params))


def without_images(params: Params) -> Params:
    """Return the params from before there are images: nothing that runs one is declared."""
    plain = params.dataflow.image.partition("@")[0]
    return params.replace(dataflow_image=f"{plain}@{built.NO_DIGEST}")


def _made(deployment: Deployment) -> Finding:
    checks = {name: CHECKS[name] for name in MADE}
    bad = [each for each in run(deployment.context, checks) if each.state == "bad"]
    return deployment.judged("platform", bad, "made", {"stack": _stack(deployment.params)})


def _folder() -> Path:
    return paths.root() / "infra" / "platform"


def _stack(params: Params) -> str:
    return params.profile


def _environment(params: Params) -> dict[str, str]:
    """Return what Pulumi runs with: the params that are in force are the program's, whatever file
    its stack names."""
    own = {"PULUMI_SKIP_UPDATE_CHECK": "true"}
    return {**os.environ, **carried.variables(params), **own}


def _stacks(params: Params) -> list[str]:
    """Return the stacks that there are."""
    return [
        str(each["name"]).rpartition("/")[2]
        for each in _asked(params, "stack", "ls", "--json", "--non-interactive")
    ]


def _changes(params: Params) -> dict[str, int]:
    """Return how many resources would be created, updated..., where any would."""
    told = _asked(params, "preview", "--json", "--non-interactive", "--stack", _stack(params))
    summary = dict(told.get("changeSummary") or {})
    return {kind: int(count) for kind, count in summary.items() if kind not in ("same", "read")}


def _asked(params: Params, *arguments: str) -> Any:
    """Return what Pulumi answers in JSON.

    Raises:
        ServiceError: it fails, or answers something else.
    """
    argv = [_TOOL, *arguments]
    done = _run(argv, params)
    try:
        content = json.loads(done.stdout)
    except ValueError:
        content = None
    if done.returncode or content is None:
        said = _diagnostics(content) or done.stderr or done.stdout
        raise tools.failed(argv, done.returncode, said.strip()[-600:])
    return content


def _diagnostics(content: Any) -> str:
    """Return the errors that a preview tells in its JSON."""
    told = content.get("diagnostics") or [] if isinstance(content, dict) else []
    errors = [one_line(each.get("message", "")) for each in told if each.get("severity") == "error"]
    return "\n".join(errors)


def _declared(deployment: Deployment) -> dict[str, Any]:
    """Return the resources that the program declares, by their kinds, for a dry run.

    Nothing where Pulumi's packages are not here.

    Raises:
        ParamsError: the params describe no platform.
    """
    if not deployment.dry_run or any(find_spec(name) is None for name in _PACKAGES):
        return {}
    done = _run([sys.executable, "-m", "spotify_platform.inventory"], deployment.params)
    if done.returncode:
        raise ParamsError(one_line(done.stderr.strip().rpartition("\n")[2], 300))
    kinds = json.loads(done.stdout)
    return {"kinds": kinds, "count": sum(kinds.values())}


def _run(argv: list[str], params: Params) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        cwd=_folder(),
        env=_environment(params),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
