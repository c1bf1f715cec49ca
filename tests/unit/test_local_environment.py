"""The two lists of direct dependencies say the same."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


def test_conda_users_get_the_dependencies_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (pip,) = (entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict))
    assert sorted(pip) == sorted(project["dependencies"])
    assert "python=3.11" in conda["dependencies"]
    assert project["requires-python"] == ">=3.11,<3.12"


def test_every_direct_dependency_is_locked_with_hashes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = {
        line.split("==")[0].split("[")[0]
        for line in lock.splitlines()
        if "==" in line and not line.startswith((" ", "#"))
    }
    wanted = {
        "".join(c if c.isalnum() or c in "-_." else " " for c in text).split()[0].lower()
        for text in project["dependencies"]
    }
    assert wanted <= {name.lower() for name in pinned}
    assert lock.count("--hash=sha256:") >= len(pinned)
