"""Everything that the locks pin: Python packages, jars, the Go module of Prism."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from local_services import jars, prism

ROOT = Path(__file__).resolve().parents[2]
WHOLE = (
    "requirements.lock",
    "requirements-bootstrap.lock",
    "requirements-platform.lock",
    "src/local_services/go.lock",
)
"""The locks of Python packages that together hold all that is ever installed."""

_PINNED = re.compile(
    r"^(?P<name>[A-Za-z0-9_.-]+)(?:\[[^]]*\])?==(?P<version>[^\s;\\]+)"
    r"(?: *; *(?P<marker>[^\\\n]+))?"
    r"(?P<hashes>(?: *\\\n +--hash=sha256:[0-9a-f]{64})+)",
    re.MULTILINE,
)


@dataclass(frozen=True, order=True)
class Component:
    """One thing that is fetched, at one version."""

    kind: str
    """As in a package URL: ``pypi``, ``maven`` or ``golang``."""
    name: str
    """``group:artifact`` of a jar, the path of a Go module."""
    version: str
    sha256: tuple[str, ...] = ()
    """Of each file that may be the one; none where Go's own checksum database answers for it."""
    marker: str | None = None
    """On which machines it is installed; None means all."""

    @property
    def purl(self) -> str:
        """The package URL (github.com/package-url/purl-spec)."""
        return f"pkg:{self.kind}/{self.name.replace(':', '/')}@{self.version}"


def python(*locks: str) -> list[Component]:
    """Return the packages of locks, named by their files in this repository."""
    found = {
        Component(
            "pypi",
            canonicalize_name(match["name"]),
            match["version"],
            tuple(re.findall(r"[0-9a-f]{64}", match["hashes"])),
            match["marker"] and match["marker"].strip(),
        )
        for lock in locks
        for match in _PINNED.finditer((ROOT / lock).read_text(encoding="utf-8"))
    }
    return sorted(found)


def java() -> list[Component]:
    """Return the jars of Kafka, of the MongoDB server, of Flink and of the compiler."""
    found = {}
    for jar_set in jars.locked_hashes().values():
        for coordinate, sha256 in jar_set.items():
            name, _, version = coordinate.rpartition(":")
            found[coordinate] = Component("maven", name, version, (sha256,))
    return sorted(found.values())


def go() -> list[Component]:
    """Return the module that Prism is built from; Go verifies it and what it needs."""
    module = prism.MODULE.partition("/go/cmd/")[0]
    return [Component("golang", module, prism.VERSION)]


def everything() -> list[Component]:
    """Return all that is ever fetched."""
    return [*python(*WHOLE), *java(), *go()]
