"""The recipes of CONTRIBUTING: read from its text, and followed in a copy of the code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
MOST_LINES = 10

_SECTION = re.compile(r"^\*\*(Una? \w+)\*\*(.*?)^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_STEP = re.compile(r"# ([\w/.]+\.py)(?:, tras «(.+)»)?")


class Step(NamedTuple):
    """Lines to write into a file: below the only line that holds ``after``, or a new one."""

    path: str
    after: str | None
    lines: list[str]


def recipes() -> dict[str, tuple[int, list[Step]]]:
    """Return each recipe that has code: how many lines it takes to say, and its steps."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = {}
    for name, prose, code in _SECTION.findall(text):
        steps: list[Step] = []
        for line in code.splitlines():
            if match := _STEP.fullmatch(line):
                steps.append(Step(match[1], match[2], []))
            else:
                steps[-1].lines.append(line)
        found[name] = (len(prose.strip().splitlines()) + len(code.splitlines()), steps)
    return found


def follow(steps: list[Step], folder: Path) -> Path:
    """Copy code and tests into a folder and write there what the steps say."""
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("params", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)
    for path, after, lines in steps:
        file = folder / path
        before = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        assert file.exists() == (after is not None), path
        places = [n for n, line in enumerate(before, 1) if after is not None and after in line]
        assert len(places) == (after is not None), (path, after)
        place = places[0] if places else 0
        file.write_text("\n".join([*before[:place], *lines, *before[place:], ""]), encoding="utf-8")
    return folder


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the code of the folder."""
    places: Mapping[str, str] = {"PYTHONPATH": f"{folder / 'src'}{os.pathsep}{folder / 'tests'}"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, **places, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
