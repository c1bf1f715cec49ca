"""``python -m supply_chain.licenses``: the licence of each thing that is fetched, by policy.

Ends with 1 when one has a licence that licenses.toml does not allow, or none that is known.
"""

from __future__ import annotations

import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from email.message import Message
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, cast

from license_expression import ExpressionError, get_spdx_licensing

from . import inventory
from .inventory import Component

UNKNOWN = "?"
_POLICY = Path(__file__).with_name("licenses.toml")
_CLASSIFIER = "License :: OSI Approved :: "


@cache
def policy() -> dict[str, Any]:
    """Return the tables of licenses.toml."""
    return tomllib.loads(_POLICY.read_text(encoding="utf-8"))


@cache
def _spdx() -> Any:
    """Return the parser of SPDX expressions, which knows all identifiers: slow to make."""
    return get_spdx_licensing()


def is_spdx(license: str) -> bool:
    """Tell whether a licence is an expression of SPDX identifiers."""
    return not _spdx().validate(license).errors


def license_of(component: Component) -> str:
    """Return the licence as an SPDX expression, or a name of the policy's; ``?`` without one."""
    decided = policy()[component.kind]
    name = component.name
    while name:
        if name in decided:
            return str(decided[name]["license"])
        name = name.rpartition(":" if ":" in name else ".")[0] if component.kind == "maven" else ""
    return _declared(component.name) if component.kind == "pypi" else UNKNOWN


def _declared(name: str) -> str:
    """Return what the metadata of an installed package say."""
    try:
        told = cast(Message, metadata.metadata(name))
    except metadata.PackageNotFoundError:
        return UNKNOWN
    # By ``get``: the library that backs this module up, once imported, raises where it has None.
    if expression := told.get("License-Expression"):
        return str(expression)
    names = policy()["names"]
    # A list of classifiers is read as "all of them", the stricter way.
    listed = [
        text.removeprefix(_CLASSIFIER)
        for text in told.get_all("Classifier") or []
        if text.startswith(_CLASSIFIER)
    ]
    if listed:
        return " AND ".join(names.get(text, text) for text in listed)
    text = str(told.get("License") or "").strip().partition("\n")[0].strip()
    return str(names.get(text, text)) or UNKNOWN


def is_allowed(license: str, allowed: Mapping[str, str]) -> bool:
    """Tell whether a policy allows an expression: all that AND joins, any that OR does."""
    if license in allowed:
        return True
    try:
        tree = _spdx().parse(license)
    except ExpressionError:
        return False
    return tree is not None and _holds(tree, allowed)


def _holds(tree: Any, allowed: Mapping[str, str]) -> bool:
    operator = type(tree).__name__
    if operator in ("AND", "OR"):
        return (all if operator == "AND" else any)(_holds(part, allowed) for part in tree.args)
    return str(tree) in allowed


def checked(components: list[Component]) -> Iterator[tuple[Component, str, bool]]:
    """Give each component with its licence, and whether the policy allows it."""
    for component in components:
        license = license_of(component)
        yield component, license, is_allowed(license, policy()["allowed"])


def main() -> int:
    """Print all licences and return the exit status."""
    refused = []
    seen: Counter[str] = Counter()
    out = sys.stdout.write
    for component, license, allowed in checked(inventory.everything()):
        seen[license] += 1
        out(f"{component.kind:<7} {component.name:<50} {component.version:<18} {license}\n")
        if not allowed:
            refused.append(f"{component.name} {component.version}: {license}")
    out("\n" + "".join(f"{count:>5}  {license}\n" for license, count in seen.most_common()))
    if refused:
        sys.stderr.write(
            f"La política ({_POLICY.name}) no admite, o no conoce:\n"
            + "".join(f"  {line}\n" for line in refused)
        )
        return 1
    out(f"\nTodas las licencias ({seen.total()} componentes) están admitidas.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
