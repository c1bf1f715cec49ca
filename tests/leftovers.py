"""What a test has started and must not outlive it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil


def running(folder: Path) -> Iterator[psutil.Process]:
    """Give the processes, but for this one, whose environment names a folder."""
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):  # ended meanwhile, or another user's
            continue
        if process.pid != psutil.Process().pid and any(
            str(folder) in value for value in environment.values()
        ):
            yield process
