"""What the platform's program grants, held against what was asked."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import tables
from .calls import PROJECT, Need

if TYPE_CHECKING:
    from spotify_platform.inventory import Declared

FILE = Path(__file__).with_name("grants.txt")
"""What the program grants for the profile of the cloud, as ``tests/unit/platform`` checks: it takes
the program twenty seconds to say it."""
_LINE = re.compile(r"(\w+): (\S+) on (\w+)(?: (\S+))?")
_KINDS = {
    "projects.IAMMember": ("project", None),
    "storage.BucketIAMMember": ("bucket", "bucket"),
    "bigquery.DatasetIamMember": ("dataset", "datasetId"),
    "secretmanager.SecretIamMember": ("secret", "secretId"),
    "artifactregistry.RepositoryIamMember": ("repository", "repository"),
    "serviceaccount.IAMMember": ("account", "serviceAccountId"),
    "cloudrunv2.WorkerPoolIamMember": ("pool", "name"),
    "cloudrunv2.JobIamMember": ("job", "name"),
}
"""Resources that grant, by what they grant on, and the input that says which."""


@dataclass(frozen=True)
class Grant:
    """A role that an account has on something."""

    who: str
    role: str
    on: tuple[str, str]
    permissions: frozenset[str]

    def gives(self, need: Need) -> bool:
        """Tell whether it is enough for a need."""
        return (
            self.who == need.who
            and need.permission in self.permissions
            and self.on in (need.on, PROJECT)
        )

    def __str__(self) -> str:
        kind, name = self.on
        return f"{self.who}: {self.role} on {kind} {name}".rstrip()


def written() -> list[Grant]:
    """Return the grants of `FILE`; what a role of the platform's own gives is not in it."""
    found = []
    for who, role, kind, name in _LINE.findall(FILE.read_text(encoding="utf-8")):
        found.append(Grant(who, role, (kind, name), tables.ROLES.get(role, frozenset())))
    return found


def declared(resources: Iterable[Declared]) -> list[Grant]:
    """Return the grants among what a program declares."""
    resources = list(resources)
    accounts = {
        f"serviceAccount:{one.inputs['accountId']}": one.name
        for one in resources
        if one.short == "serviceaccount.Account"
    }
    roles = tables.ROLES | {
        one.name: frozenset(one.inputs["permissions"])
        for one in resources
        if one.short == "projects.IAMCustomRole"
    }
    found = []
    for one in resources:
        if "member" in one.inputs:
            kind, which = _KINDS[one.short]
            who = accounts[one.inputs["member"].partition("@")[0]]
            role = one.inputs["role"]
            on = PROJECT if which is None else (kind, one.inputs[which])
            found.append(Grant(who, role, on, roles[role]))
    return found


def missing(needs: Iterable[Need], granted: Collection[Grant]) -> list[str]:
    """Return the needs that no grant is enough for."""
    return sorted(str(need) for need in needs if not any(each.gives(need) for each in granted))


def excused(grant: Grant) -> set[tuple[str, str, str]]:
    """Return the entry of `tables.ELSEWHERE` that a grant has, if it has one."""
    return {(grant.who, grant.role, on) for on in ("", grant.on[1])} & tables.ELSEWHERE.keys()


def unused(needs: Collection[Need], granted: Collection[Grant]) -> list[str]:
    """Return the grants without which nothing would be missing, and that are not `excused`.

    What is excused is told as well where it is used, or granted no more.
    """
    found, gone = [], set(tables.ELSEWHERE)
    for grant in granted:
        others = [other for other in granted if other != grant]
        is_used = any(grant.gives(n) and not any(o.gives(n) for o in others) for n in needs)
        excuse = excused(grant)
        gone -= excuse
        if not is_used and not excuse:
            found.append(f"{grant}: nothing asks for it")
        if is_used and excuse:
            found.append(f"{grant}: it is used here, too")
    return sorted([*found, *(f"{' '.join(key)}: it is not granted" for key in gone)])
