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
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
IMAGES = ("training", "serving", "pipeline")
BEAM = {"pipeline"}
"""Images with Beam's own entry: `boot`, which is in no package."""
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
    """Return sources and destination of each COPY from this folder, in either stage."""
    every = [shlex.split(rest) for rest in arguments(name, "COPY")]
    return [(words[:-1], words[-1]) for words in every if not words[0].startswith("--from=")]


def last_stage(name: str) -> list[Instruction]:
    """Return the instructions that make what runs, without its FROM."""
    all_of_them = instructions(name)
    begins = max(i for i, (instruction, _) in enumerate(all_of_them) if instruction == "FROM")
    return all_of_them[begins + 1 :]


def entry_point(name: str) -> list[str]:
    (text,) = arguments(name, "ENTRYPOINT")
    return json.loads(text)  # the form without a shell, so that signals arrive


@pytest.fixture(params=IMAGES)
def image(request: pytest.FixtureRequest) -> str:
    return request.param


def test_python_is_what_build_gives_and_nothing_else(image: str) -> None:
    beam = image in BEAM
    stages = ["${BEAM_IMAGE} AS beam"] * beam + ["${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"]
    assert arguments(image, "FROM") == stages
    assert arguments(image, "ARG") == ["PYTHON_IMAGE"] + ["BEAM_IMAGE"] * beam  # no defaults


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
            # The project itself: nothing else comes with it.
            assert words[-1] == "dist/*.whl" and "--no-deps" in words
    assert locks == [f"requirements-{of}.lock" for of in ("bootstrap", "build", image)]
    (wheel,) = [c for run in arguments(image, "RUN") for c in run.split("&&") if " wheel " in c]
    assert {"--no-deps", "--no-build-isolation"} <= set(shlex.split(wheel))


def test_what_runs_has_no_tools_that_built_it(image: str) -> None:
    runs = [rest for instruction, rest in last_stage(image) if instruction == "RUN"]
    if image not in BEAM:
        assert len(runs) == 1 and runs.pop().startswith("useradd ")
    assert runs == []
    copies = [rest for instruction, rest in last_stage(image) if instruction == "COPY"]
    boot = ["--from=beam /opt/apache/beam /opt/apache/beam"] * (image in BEAM)
    assert copies == [*boot, "--from=build /venv /venv", "params ./params", "LICENSE NOTICE ./"]


@pytest.mark.parametrize("image", sorted(set(IMAGES) - BEAM))
def test_it_runs_as_nobody_in_particular(image: str) -> None:
    names = [name for name, _ in instructions(image)]
    (user,) = arguments(image, "USER")
    assert user not in ("root", "0")
    assert names.index("USER") > max(i for i, name in enumerate(names) if name == "RUN")


def test_it_holds_no_secret(image: str) -> None:
    text = "\n".join(rest for _, rest in instructions(image))
    assert not re.search(r"password|secret|token|credential|api_?key|\.env\b", text, re.IGNORECASE)
    assert not arguments(image, "ADD")
    sources = [source for sources, _ in copied(image) for source in sources]
    tracked = subprocess.run(
        ["git", "ls-files", *sources], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    hiding = [f for f in tracked if fnmatch.fnmatch(Path(f).name, "*.pem")
              or re.search(r"(credentials|service[-_]account).*\.json|\.env$", f)]  # fmt: skip
    assert hiding == []


def test_beams_entry_is_of_the_version_that_sends_the_job() -> None:
    assert entry_point("pipeline") == ["/opt/apache/beam/boot"]
    script = (ROOT / "infra" / "build.sh").read_text(encoding="utf-8")
    (tag,) = re.findall(r"^beam_tag=(.*)$", script, re.MULTILINE)
    assert tag == f"apache/beam_python3.11_sdk:{metadata.version('apache-beam')}"
    (given,) = [rest for rest in arguments("pipeline", "ENV")]
    assert "RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1" in given


@pytest.mark.parametrize("image", sorted(set(IMAGES) - BEAM))
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


FAKE_ENGINE = """#!/bin/sh
echo "$@" >>"$CALLS"
case "$1" in buildx) printf '%s\\n' "$DIGEST" ;; esac
"""


def built(tmp_path: Path, digest: str, *arguments: str) -> tuple[int, list[str], str]:
    """Run a copy of build.sh with an engine that only notes what it is asked."""
    for folder in ("infra", "bin"):
        (tmp_path / folder).mkdir(exist_ok=True)
    shutil.copy(ROOT / "infra" / "build.sh", tmp_path / "infra")
    engine, calls = tmp_path / "bin" / "docker", tmp_path / "calls"
    engine.write_text(FAKE_ENGINE)
    engine.chmod(0o755)
    calls.write_text("")
    environment = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "DIGEST": digest,
                   "CALLS": str(calls)}  # fmt: skip
    done = subprocess.run(
        [tmp_path / "infra" / "build.sh", *arguments],
        env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done.returncode, calls.read_text().splitlines(), done.stderr


def test_an_image_is_built_on_the_digest_that_was_kept(tmp_path: Path) -> None:
    first, second = (f"sha256:{digit * 64}" for digit in "ab")
    status, calls, error = built(tmp_path, first, "serving", "here/serving:1")
    assert status == 0, error
    tag = "python:3.11.13-slim-bookworm"
    assert calls[0] == f"buildx imagetools inspect {tag} --format {{{{.Manifest.Digest}}}}"
    given = f"--file infra/serving.Dockerfile --build-arg PYTHON_IMAGE={tag}@{first}"
    assert calls[1:] == [f"build {given} --tag here/serving:1 ."]
    # The tag has moved meanwhile: it does not matter, nor is it asked for.
    status, calls, _ = built(tmp_path, second, "training", "here/training:1")
    assert status == 0
    given = f"--file infra/training.Dockerfile --build-arg PYTHON_IMAGE={tag}@{first}"
    assert calls == [f"build {given} --tag here/training:1 ."]
    # Beam's entry comes from an image of its own, pinned the same way.
    status, calls, _ = built(tmp_path, second, "pipeline", "here/pipeline:1")
    assert status == 0
    beam = f"apache/beam_python3.11_sdk:{metadata.version('apache-beam')}"
    assert calls[0].startswith(f"buildx imagetools inspect {beam} ")
    given = f"--file infra/pipeline.Dockerfile --build-arg PYTHON_IMAGE={tag}@{first}"
    more = f"--build-arg BEAM_IMAGE={beam}@{second}"
    assert calls[1:] == [f"build {given} --tag here/pipeline:1 {more} ."]
    # A newer tag in the script, with the older one's digest.
    (tmp_path / "infra" / "python.lock").write_text(f"python:3.11.12-slim-bookworm@{first}\n")
    status, calls, error = built(tmp_path, first, "serving", "t")
    assert (status, calls) == (6, [])
    assert error == (
        f"infra/python.lock no es de {tag} sino de python:3.11.12-slim-bookworm@{first}: "
        "bórralo para fijar otra vez la huella.\n"
    )


def test_without_a_digest_nothing_is_built(tmp_path: Path) -> None:
    for answer in ("", "latest", "sha256:abc"):
        status, calls, error = built(tmp_path, answer, "serving", "t")
        assert status == 4 and [call.split()[0] for call in calls] == ["buildx"]
        assert error == (
            "El registro de imágenes no dice qué huella tiene python:3.11.13-slim-bookworm: "
            "no se construye nada.\n"
        )
        assert not (tmp_path / "infra" / "python.lock").exists()
    assert built(tmp_path, "", "dashboard", "t")[0] == 2
