"""What is done to a run, and when: a schedule that the seed decides."""

from __future__ import annotations

import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import psutil

import pools
from spotify_mlops.io.local import processes, state

STORES = ("kafka", "bigquery", "mongo")
CLUSTER = {
    "task-manager": "flink-task-1",
    "pool": "flink-workers",
    "job-server": "flink-jobs",
    "job-manager": "flink",
}
"""What of Flink's is killed, and its name as a service."""
SERVICES = (*STORES, *CLUSTER)
"""What ``up`` starts again."""
KILLED = {
    "prism": ("stream", "prism", *STORES),
    "flink": ("stream", "worker", *CLUSTER, *STORES),
}
"""Ended by kill -9, by engine. On Prism a Beam worker is threads of the streaming process: killing
that process kills the worker."""
SWITCHED = ("refuse", "ambiguous", "disk", "clock")
"""Injected into the streaming process, see ``injected``: on Prism, where sinks run in it."""


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        at: share of the log's windows, 0-1, that must be written.
        delay: seconds after that, so that any step may be under way; counted from the fault
            before it when the log is past ``at`` already: kills in a row.
        what: of ``KILLED`` or ``SWITCHED``.
        seconds: how long a service is away, a sink refuses or a disk is full; how far the clock
            jumps.
        sink: which writer refuses, or answers an error after having written.
    """

    at: float
    delay: float
    what: str
    seconds: float = 0.0
    sink: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)


def plan(
    random: Random, engine: str, kills: int, outage: float, sinks: tuple[str, ...]
) -> list[Fault]:
    """Plan a run: so many kills of all kinds, some in a row, and each injected fault once.

    Args:
        random: decides all.
        engine: what runs the job.
        kills: how many processes are killed.
        outage: the longest time in seconds that something is away or refuses.
        sinks: the writers that an injected fault may meet.
    """
    killed = KILLED[engine]
    kinds = [killed[number % len(killed)] for number in range(kills)]
    kinds += SWITCHED if engine == "prism" else ()
    random.shuffle(kinds)
    faults: list[Fault] = []
    for number, what in enumerate(kinds):
        in_a_row = number > 0 and random.random() < 0.35
        share = 0.9 * (number + random.random()) / len(kinds)
        faults.append(
            Fault(
                at=faults[-1].at if in_a_row else round(share, 4),
                # A process takes some seconds to start: a row of kills meets that too.
                delay=round(random.uniform(0, 9 if in_a_row else 2), 2),
                what=what,
                seconds=_seconds(random, what, outage),
                sink=random.choice(sinks) if what in ("refuse", "ambiguous") else "",
            )
        )
    return faults


def _seconds(random: Random, what: str, outage: float) -> float:
    if what == "clock":
        return random.choice([-3600.0, 3600.0])
    if what in ("refuse", "disk"):
        return outage
    return round(random.uniform(0, outage / 10), 2) if what in SERVICES else 0.0


def kill(what: str, stream: subprocess.Popen[bytes] | None) -> bool:
    """End a process with kill -9; False when it does not run."""
    if what in SERVICES:
        record = state.get(CLUSTER.get(what, what))
        if record is None or not processes.is_alive(record):
            return False
        service = psutil.Process(record.pid)
        service.kill()
        service.wait(60)
        return True
    if what == "worker":
        pool = state.get("flink-workers")
        alive = pool is not None and processes.is_alive(pool)
        workers = pools.workers(pool.pid) if alive else []
        for worker in workers[:1]:
            worker.kill()
        return bool(workers)
    if stream is None or stream.poll() is not None:
        return False
    if what == "stream":
        stream.kill()
        return True
    children = psutil.Process(stream.pid).children(recursive=True)
    found = [child for child in children if child.name() == "prism"]
    for prism in found:
        prism.kill()
    return bool(found)


class Switches:
    """Files that a streaming process with injected faults looks at before and after a write."""

    def __init__(self, folder: Path) -> None:
        """Use ``folder``, which must exist."""
        self.folder = folder

    def on(self, fault: Fault) -> None:
        """Begin an injected fault."""
        self._path(fault.what, fault.sink).write_text(str(fault.seconds), encoding="utf-8")

    def off(self, fault: Fault) -> None:
        """End it."""
        self._path(fault.what, fault.sink).unlink(missing_ok=True)

    def value(self, what: str, sink: str = "") -> float | None:
        """Return the seconds of a fault that is on, else None."""
        try:
            return float(self._path(what, sink).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def take(self, what: str, sink: str) -> bool:
        """End a fault that strikes once; True for the one caller that it strikes."""
        try:
            self._path(what, sink).unlink()
        except FileNotFoundError:
            return False
        return True

    def _path(self, what: str, sink: str) -> Path:
        return self.folder / "-".join(part for part in (what, sink) if part)
