"""Spanish below the presentation: an error's words, a line of progress or of a log, and no more.

What the domain and the operations find are codes and numbers; `presentation/es` words them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[3] / "src" / "spotify_mlops"
FLOORS = ("domain", "operations")
APART = {"engines/flink.py"}
"""Modules that put an error's words together before they raise it."""
SPANISH = re.compile(
    r"[áéíóúñ¿¡«»]|\b(el|la|los|las|una?|de|del|que|hay|con|sin|para|por|se|al|y|falta|es)\b"
)
IN_TRANSIT = {"say", "rebuild", "debug", "info", "warning", "error", "exception"}


def called(node: ast.Call) -> str:
    """Return the last part of the name of what is called."""
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def in_transit(tree: ast.Module) -> Iterator[ast.AST]:
    """Give the parts of a module whose text is on its way to somebody, and docstrings."""
    raised = [node for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    yield from raised
    helpers = {called(c) for r in raised for c in ast.walk(r) if isinstance(c, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called(node) in IN_TRANSIT:
            yield node
        if isinstance(node, ast.FunctionDef) and node.name in helpers:
            yield node
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):  # a docstring
            yield node


def prose(code: str) -> list[str]:
    """Return the Spanish texts of a module that are on their way to nobody."""
    tree = ast.parse(code)
    told = {id(node) for part in in_transit(tree) for node in ast.walk(part)}
    texts = (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in told)
    return [t for t in texts if isinstance(t, str) and " " in t and SPANISH.search(t)]


def test_what_is_found_is_told_in_codes_and_numbers() -> None:
    found = {}
    for floor in FLOORS:
        for path in sorted((SOURCE / floor).rglob("*.py")):
            name = path.relative_to(SOURCE / floor).as_posix()
            if name not in APART and (texts := prose(path.read_text(encoding="utf-8"))):
                found[name] = texts
    assert found == {}
    assert prose('note = "no está en marcha"\nraise ValueError("no hay filas")') == [
        "no está en marcha"
    ]
