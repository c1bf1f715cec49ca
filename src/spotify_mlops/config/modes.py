"""Who may read what the project writes: its owner alone, but for what is made to be shown."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PRIVATE = 0o077
"""The umask of the project's processes."""
_ORDINARY = 0o022
"""Until ``keep_private`` has seen the user's own."""

_users = _ORDINARY


def keep_private() -> None:
    """From now on give what this process and those it starts write to their user alone."""
    global _users
    before = os.umask(PRIVATE)
    if before != PRIVATE:
        _users = before


@contextmanager
def shown(folder: Path) -> Iterator[None]:
    """Show a folder at the end of what writes into it, however that ends."""
    try:
        yield
    finally:
        if folder.is_dir():
            show(folder)


def show(folder: Path) -> None:
    """Give a folder and all in it the modes that the user's own umask gives."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod((0o777 if path.is_dir() else 0o666) & ~_users)
