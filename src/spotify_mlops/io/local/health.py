"""What a health check says of a server besides that it does not answer (yet)."""

from __future__ import annotations

import shutil

from ...config import paths

_LITTLE = 64 * 1024 * 1024
"""Free bytes below which the servers cannot be expected to write."""


class BrokenError(Exception):
    """A server answers, and refuses a write that it should take; the message is why.

    It was left so by a disk that was full, or cannot write now: to start it again may mend it.
    """


def shortage() -> str:
    """Say that the disk of the state directory is full, and what to do; empty when it is not."""
    folder = paths.state_dir()
    free = shutil.disk_usage(folder).free if folder.is_dir() else _LITTLE
    if free >= _LITTLE:
        return ""
    return (
        f"En el disco de {folder} quedan {free // 2**20} MB: libera espacio y ejecuta "
        "«spotify-mlops up»."
    )
