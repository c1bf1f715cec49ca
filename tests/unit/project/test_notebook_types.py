"""The code of the notebooks, held against the signatures of what it calls."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def cells(notebook: Path) -> list[str]:
    """Return the code of a notebook, cell by cell."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    return ["".join(c["source"]) for c in content["cells"] if c["cell_type"] == "code"]


def checked(folder: Path, code: dict[str, list[str]]) -> list[str]:
    """Return what mypy finds in the code, a module each."""
    for name, parts in code.items():
        (folder / f"{name}.py").write_text("\n\n".join(parts), encoding="utf-8")
    names = [str(folder / f"{name}.py") for name in code]
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if ": error: " in line]


def test_notebooks_call_what_there_is_as_it_is_called(tmp_path: Path) -> None:
    code = {f"nb_{path.stem}": cells(path) for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert len(code) == 6
    broken = [c.replace("business.criteria(p.gate)", "business.criteria(p.gate, 1)")
                .replace("business.users()", "business.readers()")
              for c in code["nb_01_business"]]  # fmt: skip
    found = checked(tmp_path, code | {"broken": broken})
    assert [line.partition("[")[2] for line in found] == ["attr-defined]", "call-arg]"], found
    assert all("broken.py" in line for line in found)
