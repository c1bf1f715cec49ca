"""The Dockerfiles, as far as they can be checked without an engine."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ("training", "serving")
Instruction = tuple[str, str]


def instructions(name: str) -> list[Instruction]:
    """Return a Dockerfile's instructions with their arguments, continued lines joined."""
    text = (ROOT / "infra" / f"{name}.Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(line.split(maxsplit=1)[0].upper(), line.split(maxsplit=1)[1]) for line in joined]


def arguments(name: str, wanted: str) -> list[str]:
    return [rest for instruction, rest in instructions(name) if instruction == wanted]


def copied(name: str) -> list[tuple[list[str], str]]:
    """Return sources and destination of each COPY."""
    return [(words[:-1], words[-1]) for words in map(shlex.split, arguments(name, "COPY"))]


def entry_point(name: str) -> list[str]:
    (text,) = arguments(name, "ENTRYPOINT")
    return json.loads(text)  # the form without a shell, so that signals arrive


@pytest.fixture(params=IMAGES)
def image(request: pytest.FixtureRequest) -> str:
    return request.param


def test_python_is_pinned(image: str) -> None:
    (base,) = arguments(image, "FROM")
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", base)


def test_what_is_copied_is_in_git_and_not_ignored(image: str) -> None:
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line.removeprefix("!") for line in kept if line.startswith("!")}
    for sources, _ in copied(image):
        for source in sources:
            listed = subprocess.run(
                ["git", "ls-files", "--error-unmatch", source],
                cwd=ROOT, capture_output=True, text=True,
            )  # fmt: skip
            assert listed.returncode == 0, f"{source} is not in git"
            assert source in allowed, f"{source} does not reach the engine"


def test_everything_installed_has_a_hash(image: str) -> None:
    commands = [c for run in arguments(image, "RUN") for c in run.split("&&") if "install" in c]
    locks = []
    for command in commands:
        words = shlex.split(command)
        if "-r" in words:
            assert "--require-hashes" in words
            locks.append(words[words.index("-r") + 1])
        else:
            # The project itself: nothing else comes with it, nor to build it.
            assert words[-1] == "." and {"--no-deps", "--no-build-isolation"} <= set(words)
    assert locks == ["requirements-bootstrap.lock", "requirements.lock"]
    assert "hatchling==" in (ROOT / "requirements.lock").read_text(encoding="utf-8")


def test_it_runs_as_nobody_in_particular(image: str) -> None:
    names = [name for name, _ in instructions(image)]
    (user,) = arguments(image, "USER")
    assert user not in ("root", "0")
    assert names.index("USER") > max(i for i, name in enumerate(names) if name == "RUN")


def test_it_holds_no_secret(image: str) -> None:
    text = "\n".join(rest for _, rest in instructions(image))
    assert not re.search(r"password|secret|token|credential|api_?key|\.env\b", text, re.IGNORECASE)
    assert not arguments(image, "ARG") and not arguments(image, "ADD")
    sources = [source for sources, _ in copied(image) for source in sources]
    tracked = subprocess.run(
        ["git", "ls-files", *sources], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    hiding = [f for f in tracked if fnmatch.fnmatch(Path(f).name, "*.pem")
              or re.search(r"credentials|service[-_]account.*\.json|\.env$", f)]  # fmt: skip
    assert hiding == []


def test_the_entry_point_runs_on_what_is_copied(image: str, tmp_path: Path) -> None:
    """The command starts in a folder that holds what the image does and nothing more."""
    for sources, destination in copied(image):
        for source in sources:
            target = tmp_path / destination
            target = target if destination != "./" else target / source
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, target)
            else:
                shutil.copy(ROOT / source, target)
    command = entry_point(image)
    assert command[0] == "python"
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {"PYTHONPATH": str(tmp_path / "src"), "SPOTIFY_MLOPS_HOME": str(tmp_path)}
    answer = subprocess.run(
        [sys.executable, *command[1:], "--help"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert " ".join(command[1:3]) in answer.stdout and "--params" in answer.stdout
