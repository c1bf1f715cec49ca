"""What ``cloud plan`` says that the platform would have, where Pulumi's command is not there."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from spotify_platform.inventory import Declared

from spotify_mlops.config import params
from spotify_mlops.config.params import Params
from spotify_mlops.io.google_apis import Apis
from spotify_mlops.model.training_result import TrainingResult
from spotify_mlops.operations.cloud.check.finding import Context, Finding
from spotify_mlops.operations.cloud.deploy import Report, platform
from spotify_mlops.operations.cloud.deploy.step import STATES, Deployment, Stage
from spotify_mlops.presentation.es import cloud_deploy as words


def look(settings: Params, *, dry_run: bool = True) -> Finding:
    def never(_: Params) -> TrainingResult:
        raise AssertionError("nothing is to be trained")

    context = Context(settings, Apis(settings))
    return platform.look(Deployment(context, never, frozenset(), dry_run))


def test_a_plan_counts_what_the_program_declares_for_its_params(
    profile: Params,
    resources: list[Declared],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = look(profile)
    assert (found.state, found.reason) == ("bad", "no_tool")
    kinds = Counter(one.short for one in resources if not one.kind.startswith("pulumi:"))
    assert found.facts["kinds"] == kinds
    stage = Stage("platform", STATES[found.state], found)
    shown = "\n".join(words.plan_lines(Report((stage,), (), None, stage), dry_run=True))
    assert f"el programa haría {kinds.total()}" in shown
    assert "1×storage.Bucket" in shown
    assert "kinds" not in look(profile, dry_run=False).facts


def test_params_of_no_platform_are_told_in_its_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = look(params.load("gcp", model_name="my_model"))
    assert (found.state, found.reason) == ("bad", "said")
    assert "«model_name» es «my_model-gcp»" in found.facts["said"]
