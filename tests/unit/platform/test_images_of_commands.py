"""The image of a scheduled command has all that the command imports."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from spotify_platform.inventory import Declared

from command_tree import command
from spotify_mlops.config import paths

OWN = "spotify_mlops"


def callback(words: list[str]) -> str:
    """Return the module of a command."""
    function = command(words).callback
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return str(function.__module__)


def imports(module: str, *, whole: bool) -> Iterator[str]:
    """Yield what a module imports: when it is imported, or as a ``whole`` when it is used too."""
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    package = module if spec.submodule_search_locations is not None else module.rpartition(".")[0]
    for node in ast.walk(tree) if whole else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = "." * node.level + (node.module or "")
            source = importlib.util.resolve_name(name, package)
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def is_own(name: str) -> bool:
    """Whether a name is of a module of this package, and not of what one defines."""
    if name.partition(".")[0] != OWN:
        return False
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def foreign(module: str) -> set[str]:
    """Return what a command's module, and the own ones that it imports, import of others."""
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        one = waiting.pop()
        for name in set(imports(one, whole=one == module)) - seen:
            seen.add(name)
            if is_own(name):
                waiting.append(name)
            elif name.partition(".")[0] not in {OWN, *sys.stdlib_module_names}:
                found.add(name)
    return found


@cache
def owners() -> dict[str, str]:
    """Return the distribution of each file that is installed."""
    found: dict[str, str] = {}
    for one in metadata.distributions():
        files = (line.partition(",")[0] for line in (one.read_text("RECORD") or "").splitlines())
        found |= dict.fromkeys(files, canonicalize_name(one.name))
    return found


@cache
def owner(name: str) -> str | None:
    """Return the distribution of the first part of a name that is no namespace; None of one."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        spec = importlib.util.find_spec(".".join(parts[:length]))
        if spec is None:
            return None
        if spec.origin is not None:
            return owners().get(spec.origin.rpartition("site-packages/")[2])
    return None


@pytest.mark.parametrize("name", ["monitor", "audit", "compaction", "stream"])
def test_what_a_command_imports_is_in_its_image(name: str, resources: list[Declared]) -> None:
    runs = [one for one in resources if one.short in ("cloudrunv2.Job", "cloudrunv2.WorkerPool")]
    (one,) = (one for one in runs if one.name == name)
    template = one.inputs["template"]
    (container,) = template.get("template", template)["containers"]
    (image,) = re.findall(r"/([a-z]+)[:@][^/]+$", container["image"])
    lock = (Path(paths.root()) / f"requirements-{image}.lock").read_text(encoding="utf-8")
    has = {canonicalize_name(one) for one in re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==", lock, re.M)}

    imported = foreign(callback(container["args"]))
    assert imported
    assert not {(name, owner(name)) for name in imported if owner(name) not in {None, *has}}
