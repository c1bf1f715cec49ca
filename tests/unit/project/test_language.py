"""Spanish is made in ``presentation`` alone: what is below it hands over codes and numbers."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from spotify_mlops.model import gate, table_checks
from spotify_mlops.operations.monitor import decisions, policy

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "src" / "spotify_mlops"
FILES = [
    path
    for folder in ("domain", "model", "operations/monitor")
    for path in sorted((SOURCE / folder).rglob("*.py"))
]
_SPANISH = re.compile(r"[áéíóúñü¿¡«»]|\b(el|la|los|las|de|del|en|que|con|por|para|una?)\b")
FOR_PEOPLE = {
    "model/registry.py": {"Nivel de popularidad (Alta, Media, Baja) de cada canción en cada país"},
}
"""What another system shows as it is given. What an exception says is for people too."""


def errors(tree: ast.Module) -> set[ast.AST]:
    """Return what an exception says: in its ``raise``, or in a ``refusal`` that is made for one."""
    return {
        part
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise)
        or (isinstance(node, ast.FunctionDef) and node.name == "_refusal")
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "refusal")
        for part in ast.walk(node)
    }


def texts(tree: ast.Module) -> Iterator[ast.Constant]:
    """Return the strings of a module that may reach a table, a file or a service."""
    told = errors(tree)
    documents = {
        node.value
        for holder in ast.walk(tree)
        for node in ast.iter_child_nodes(holder)
        if isinstance(node, ast.Expr)
    }
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and node not in told and node not in documents:
            yield node


def test_the_floors_below_write_no_prose() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{node.lineno}: {node.value}"
        for path in FILES
        for node in texts(ast.parse(path.read_text(encoding="utf-8")))
        if _SPANISH.search(node.value)
        and node.value not in FOR_PEOPLE.get(str(path.relative_to(SOURCE)), ())
    ]
    assert found == []


@pytest.mark.parametrize(
    "codes",
    [
        gate.Criterion,
        gate.NotCompared,
        table_checks.Check.__annotations__["code"],
        decisions.Step,
        decisions.Reason,
        policy.Stage,
    ],
)
def test_codes_are_codes(codes: object) -> None:
    named = eval(codes, vars(table_checks)) if isinstance(codes, str) else codes
    assert get_args(named)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", code) for code in get_args(named))
