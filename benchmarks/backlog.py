"""``bench backlog``: the live job works off a log that is full when it starts, all sinks on."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import psutil
import workload
from workload import figure

from spotify_mlops.config.errors import ServiceError
from spotify_mlops.config.params import Params
from spotify_mlops.config.progress import Progress
from spotify_mlops.operations import apps, lag
from spotify_mlops.presentation.es.operations import lag_lines

SAMPLE_SECONDS = 1.0
TELL_SECONDS = 15.0
SMALL_SHARE = 0.1
MEGABYTE = 1 << 20


@dataclass
class Run:
    """What was seen of one run of the job."""

    records: int = 0
    seconds: float = 0.0
    memory: list[dict[str, float]] = field(default_factory=list)
    """A sample a second: proportional megabytes of the job's ``python`` and ``prism``."""

    @property
    def rate(self) -> float:
        """Return records a second, the job's start included."""
        return self.records / self.seconds

    def peak(self, *parts: str) -> float:
        """Return the most megabytes that some parts had together."""
        return max(sum(sample[part] for part in parts) for sample in self.memory)


def run(params: Params, say: Progress, events: int = 5_000_000) -> list[dict[str, Any]]:
    """Publish a log, let the job work it off, and watch its memory.

    The baseline is the same job over a tenth of it in the same run: what grows with the backlog
    shows as a ratio above one.

    Raises:
        ServiceError: the job failed.
    """
    small = _work_off(params, round(events * SMALL_SHARE), say)
    whole = _work_off(params, events, say)
    return [
        figure("backlog_rate", whole.rate, "events/s", small.rate),
        *(
            figure(f"backlog_memory_{name}", whole.peak(*parts), "MB", small.peak(*parts))
            for name, parts in (
                ("peak", ("python", "prism")),
                ("python", ("python",)),
                ("prism", ("prism",)),
            )
        ),
    ]


def _work_off(params: Params, events: int, say: Progress) -> Run:
    base = workload.prepare(params, f"backlog-{events}", say, simulator_events=events)
    say(f"La tarea en directo sobre {events} eventos atrasados")
    with workload.own_stores(base, "backlog") as own:
        return _watch(own, say)


def _watch(params: Params, say: Progress) -> Run:
    command = [sys.executable, "-m", "spotify_mlops", "stream", "--until-caught-up", "--json"]
    seen = Run()
    began = time.monotonic()
    with subprocess.Popen(
        [*command, "--params", str(apps.params_file(params))], stdout=subprocess.PIPE, text=True
    ) as job:
        process = psutil.Process(job.pid)
        told = began
        while True:
            try:
                job.wait(SAMPLE_SECONDS)
                break
            except subprocess.TimeoutExpired:
                seen.memory.append(_memory(process))
            if time.monotonic() - told >= TELL_SECONDS:
                told = time.monotonic()
                say(lag_lines(lag.measure(params))[0])
        answer = job.stdout.read() if job.stdout else ""
    if job.returncode:
        raise ServiceError("La tarea de streaming falló; su error está arriba.")
    seen.seconds = time.monotonic() - began
    seen.records = json.loads(answer)["records"]
    return seen


def _memory(process: psutil.Process) -> dict[str, float]:
    """Return the proportional set size of the job's process, and of what it started, in MB."""
    found = {"python": 0.0, "prism": 0.0}
    for part in (process, *process.children(recursive=True)):
        try:
            size = part.memory_full_info().pss / MEGABYTE
            found["prism" if "prism" in part.name() else "python"] += size
        except psutil.NoSuchProcess:
            continue
    return found
