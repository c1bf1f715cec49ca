"""The log of a process that runs for months: a file that stays small, and the last of it beside it.

A process writes its output straight to the file, so that no other process, which could end or fall
behind, stands in between. When the file is full the process itself puts it aside and lets its
output go to a new one: no line is lost or cut, as both are the same descriptor to all its threads.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

LOG = "SPOTIFY_MLOPS_LOG"
"""Environment variable with the file that a process's output goes to."""
BYTES = 10 * 1024 * 1024
"""When a log is put aside; what is written within ``SECONDS`` comes on top."""
KEPT = 3
"""How many logs that were put aside are kept: ``.1`` is the newest."""
SECONDS = 0.5
_OUTPUT = (1, 2)


def put_aside(log: Path) -> None:
    """Rename a log to ``.1``, the one before to ``.2``, and so on; the oldest goes."""
    for number in range(KEPT, 0, -1):
        newer = log if number == 1 else aside(log, number - 1)
        if newer.exists():
            os.replace(newer, aside(log, number))


def put_aside_when_full(log: Path) -> None:
    """Put a log aside that no process writes to."""
    if log.exists() and log.stat().st_size >= BYTES:
        put_aside(log)


def remove(log: Path) -> None:
    """Delete a log that no process writes to, and those that were put aside."""
    for file in (log, *(aside(log, number + 1) for number in range(KEPT))):
        file.unlink(missing_ok=True)


def keep_small() -> None:
    """Put this process's own log aside whenever it is full, for as long as the process runs.

    Where the output goes elsewhere (a terminal, a pipe) nothing happens.
    """
    log = os.environ.get(LOG)
    if log is not None and _writes_to(Path(log)):
        threading.Thread(target=_watch, args=(Path(log),), name="log", daemon=True).start()


def _watch(log: Path) -> None:
    pause = threading.Event()
    while not pause.wait(SECONDS):
        try:
            if os.fstat(_OUTPUT[0]).st_size < BYTES:
                continue
            if _writes_to(log) or not log.exists():
                _start_anew(log)
            else:  # another process that writes to it did
                _go_on_in(log)
        except OSError:  # no room for a new file, or no folder: another turn may do it
            continue


def _start_anew(log: Path) -> None:
    fresh = log.with_name(f".{log.name}.new")  # one that a kill left behind is used
    descriptor = os.open(fresh, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        put_aside(log)
        os.replace(fresh, log)
        _write_to(descriptor)
    finally:
        os.close(descriptor)


def _go_on_in(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    try:
        _write_to(descriptor)
    finally:
        os.close(descriptor)


def _write_to(descriptor: int) -> None:
    for output in _OUTPUT:
        os.dup2(descriptor, output)


def _writes_to(log: Path) -> bool:
    """Tell whether this process's output, and its errors, go to the file of that name."""
    try:
        found = log.stat()
        return all(os.path.samestat(os.fstat(output), found) for output in _OUTPUT)
    except OSError:
        return False


def aside(log: Path, number: int) -> Path:
    """Return where a log that was put aside is; 1 is the newest."""
    return log.with_name(f"{log.name}.{number}")
