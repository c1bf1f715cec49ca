"""Numbers are written in one way: thousands with a dot, decimals with a comma, by ``spanish``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from spotify_mlops.config import spanish

ROOT = Path(__file__).resolve().parents[3]
FILES = [
    path
    for folder in ("src/spotify_mlops", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path.name != "spanish.py"
]
_THOUSANDS = re.compile(r".*[,_]\.?\d*[dfg]?$")
_DECIMALS = re.compile(r".*(\.\d+[fg%]|g)$")
FOR_PROGRAMS = {
    "src/spotify_mlops/presentation/dashboard/cost.py": "SQL",
    "src/spotify_mlops/presentation/dashboard/business.py": "SQL",
    "src/spotify_mlops/model/export.py": "how far two runtimes are apart, for who mends it",
    "src/spotify_mlops/model/gate.py": "a label of Vertex AI",
}


def formats(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Find what formats a number: a specification in an f-string, or separators exchanged."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FormattedValue) and isinstance(node.format_spec, ast.JoinedStr):
            text = "".join(
                part.value for part in node.format_spec.values if isinstance(part, ast.Constant)
            )
            if _THOUSANDS.match(text) or _DECIMALS.match(text):
                yield node.lineno, text
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "replace":
            given = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            if given in ([",", "."], [".", ","]):
                yield node.lineno, f"replace{given}"


def test_nobody_else_writes_separators() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in FILES
        if str(path.relative_to(ROOT)) not in FOR_PROGRAMS
        for line, text in formats(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_the_thin_space_is_gone() -> None:
    looked = [*FILES, *ROOT.glob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")]
    assert [path for path in looked if "\u202f" in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (1_088_804, 0, "1.088.804"),
        (1234567.5, 1, "1.234.567,5"),
        (-1234.56, 2, "\u22121.234,56"),
        (999, 0, "999"),
        (1000, 0, "1.000"),
        (0.5, 1, "0,5"),
    ],
)
def test_a_number(value: float, decimals: int, text: str) -> None:
    assert spanish.number(value, decimals) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(90.0, "90"), (90, "90"), (0.25, "0,25"), (1_000_000, "1.000.000"), (-1e3, "\u22121.000")],
)
def test_a_number_as_it_is(value: float, text: str) -> None:
    assert spanish.exact(value) == text
