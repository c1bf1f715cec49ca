"""Apply a patch (a unified diff) to a folder of sources, exactly or not at all.

Written here because neither ``patch`` nor ``git`` is on every machine; sources are pinned by
hash, so that a line which is not where the patch says it is means that something is wrong.
"""

from __future__ import annotations

import re
from pathlib import Path

from spotify_mlops.config.errors import IntegrityError

_HUNK = re.compile(r"@@ -(?P<start>\d+)(?:,(?P<before>\d+))? \+\d+(?:,(?P<after>\d+))? @@")


def apply(patch: str, folder: Path) -> None:
    """Change the files of ``folder`` as ``patch -p1`` would, and make those that are new.

    What stands before the first file of the patch is for people. Files are neither renamed nor
    removed.

    Raises:
        IntegrityError: a file is not the one that the patch was made for.
    """
    lines = patch.splitlines(keepends=True)
    at = 0
    while at < len(lines):
        if not lines[at].startswith("--- "):
            at += 1
            continue
        source, target = (lines[at + n][4:].strip() for n in (0, 1))
        path = folder / target.partition("/")[2]
        old = [] if source == "/dev/null" else path.read_text("utf-8").splitlines(keepends=True)
        new: list[str] = []
        done = 0  # lines of the old file that are in the new one, or left out of it
        at += 2
        while at < len(lines) and (hunk := _HUNK.match(lines[at])):
            before, after = (int(hunk[side] or 1) for side in ("before", "after"))
            start = int(hunk["start"]) - (1 if before else 0)
            new += old[done:start]
            removed, added, at = _hunk(lines, at + 1, before, after)
            if old[start : start + before] != removed:
                raise IntegrityError(f"El parche no corresponde a {path}, línea {start + 1}.")
            new += added
            done = start + before
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(new + old[done:]), encoding="utf-8")


def _hunk(lines: list[str], at: int, before: int, after: int) -> tuple[list[str], list[str], int]:
    """Return a hunk's old lines, its new ones, and where it ends."""
    removed: list[str] = []
    added: list[str] = []
    while len(removed) < before or len(added) < after:
        mark, line = lines[at][0], lines[at][1:]
        if mark in " -":
            removed.append(line)
        if mark in " +":
            added.append(line)
        at += 1
    return removed, added, at
