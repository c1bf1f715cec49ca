"""The workflows of GitHub Actions: what they are made of, and that what they call is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import yaml

from spotify_mlops.cli import main
from spotify_mlops.config import paths

FILES = sorted((paths.root() / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")


def content(file: Any) -> dict[Any, Any]:
    found = yaml.safe_load(file.read_text())
    assert isinstance(found, dict)
    return found


def jobs() -> Iterator[tuple[dict[Any, Any], dict[str, Any]]]:
    """Yield each job, after its workflow."""
    for file in FILES:
        workflow = content(file)
        yield from ((workflow, job) for job in workflow["jobs"].values())


def steps() -> list[dict[str, Any]]:
    return [step for _, job in jobs() for step in job["steps"]]


def test_they_are_what_github_reads() -> None:
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema", "--builtin-schema"),
            *("vendor.github-workflows", "--output-format", "json", *map(str, FILES)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, json.loads(checked.stdout)["errors"]) == (0, []), checked.stderr
    assert len(FILES) == 4


def test_what_is_not_ours_is_pinned_by_commit() -> None:
    used = [step["uses"] for step in steps() if "uses" in step]
    assert len(used) > 10
    assert [name for name in used if not PINNED.fullmatch(name)] == []
    # One action, one version.
    assert len({*used}) == len({name.partition("@")[0] for name in used})


def test_a_job_may_read_and_ends() -> None:
    for workflow, job in jobs():
        assert workflow["permissions"] == {"contents": "read"}
        assert job.get("permissions", {}).keys() <= {"contents", "id-token"}
        assert job["timeout-minutes"] <= 90
        # An identity in the cloud is an environment's, which somebody approves.
        assert ("id-token" in job.get("permissions", {})) == ("environment" in job)


def test_no_text_of_a_stranger_becomes_code() -> None:
    """An expression within a script is put there before the shell reads it."""
    assert [step["run"] for step in steps() if "${{" in step.get("run", "")] == []
    assert not any("pull_request_target" in content(file).get(True, {}) for file in FILES)
    assert not any("secrets." in file.read_text() for file in FILES)


def test_what_they_call_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    scripts = "\n".join(step.get("run", "") for step in steps())
    targets = set(re.findall(r"^make ([a-z-]+)", scripts, re.MULTILINE))
    made = set(re.findall(r"^([a-z-]+):", (paths.root() / "Makefile").read_text(), re.MULTILINE))
    assert targets and targets <= made
    for called in set(re.findall(r"(?:\.ci|infra)/[a-z.]+", scripts)):
        assert (paths.root() / called).is_file()
    for command in set(re.findall(r"-m spotify_mlops ([a-z ]+?)(?= --|$)", scripts, re.MULTILINE)):
        with suppress(SystemExit):
            main.main([*command.split(), "--help"])
        assert f"Uso: spotify-mlops {command} " in capsys.readouterr().out
