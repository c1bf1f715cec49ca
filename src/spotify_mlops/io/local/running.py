"""A running process as the system knows it: who it is, who belongs to it, how it is ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from ...config.errors import ServiceError

_POLL = 0.05


def identity(pid: int) -> str | None:
    """Return what tells this process from any other that has or had its pid; None if it ended.

    On Linux the start in clock ticks since boot with the boot's id: unlike a wall-clock time it
    does not move when the clock is set.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        if os.path.isdir("/proc/self"):
            text = Path(f"/proc/{pid}/stat").read_text()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            return f"{boot}/{text.rpartition(')')[2].split()[19]}"
        return str(process.create_time())
    except (psutil.Error, OSError):
        return None


def describe(process: psutil.Process) -> str:
    """Return a process's name; its pid when it has ended."""
    try:
        return str(process.name())
    except psutil.Error:
        return str(process.pid)


def family(pid: int) -> list[psutil.Process]:
    """Return the process, its descendants, and whoever else is in its session.

    Raises:
        psutil.NoSuchProcess: it has ended.
    """
    root = psutil.Process(pid)
    found = {root.pid: root}
    for process in root.children(recursive=True):
        found[process.pid] = process
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == pid:
                found[process.pid] = process
        except OSError:
            continue
    return list(found.values())


def end(found: Iterable[psutil.Process], timeout: float) -> None:
    """End processes: TERM, then KILL after ``timeout`` seconds.

    Raises:
        ServiceError: some are still there that long after KILL.
    """
    processes = list(found)
    for number, patience in ((signal.SIGTERM, timeout), (signal.SIGKILL, timeout)):
        for process in processes:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue
        deadline = time.monotonic() + patience
        while processes and time.monotonic() < deadline:
            _, processes = psutil.wait_procs(processes, timeout=_POLL)
            # A container's first process may never collect the orphans that ended.
            processes = [process for process in processes if not has_ended(process)]
        if not processes:
            return
    pids = ", ".join(str(process.pid) for process in processes)
    raise ServiceError(f"No terminan los procesos {pids}, ni con KILL.")


def has_ended(process: psutil.Process) -> bool:
    """Tell whether a process runs no more, though its parent may not have noticed yet."""
    try:
        return not process.is_running() or bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
