"""``bench engines``: the live job on Prism and on a Flink cluster, one after the other.

Each works off the same log with all sinks on, and then keeps up with a stream of 1-second windows.
Start-up is left out of the rates: they are of what was written between the first window and the
last.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import freshness
import psutil
import workload
from workload import figure

from local_services import services
from spotify_mlops.config.errors import ServiceError
from spotify_mlops.config.params import Params
from spotify_mlops.config.progress import Progress
from spotify_mlops.io import bigquery
from spotify_mlops.io.local import state
from spotify_mlops.operations import apps

SAMPLE_SECONDS = 0.5
PRISM = {"engine_runner": "prism", "engine_sources": 1, "parallelism": 1}
FLINK = {
    "flink_1_source": {"engine_sources": 1, "parallelism": 1},
    "flink_2_sources": {"engine_sources": 2, "parallelism": 1},
    "flink_4_sources": {"engine_sources": 4, "parallelism": 1},
    "flink_2_task_managers": {"engine_sources": 4, "parallelism": 2},
}
LIVE = "flink_1_source"
"""The case that keeps up with a stream, too: sources of one slot take turns."""


@dataclass
class Run:
    """What one run wrote, and what it took; seconds are since the epoch."""

    events: int = 0
    began: float = 0.0
    ended: float = 0.0
    cpu: list[tuple[float, float]] = field(default_factory=list)
    """Moments, and the processor seconds that all of the job's processes had used by then."""

    @property
    def rate(self) -> float:
        """Return events a second from the first window's rows to the last's."""
        return self.events / (self.ended - self.began)

    @property
    def cpu_per_event(self) -> float:
        """Return microseconds of processor an event, in the same time."""
        used = [self._used(moment) for moment in (self.began, self.ended)]
        return (used[1] - used[0]) / self.events * 1e6

    def _used(self, moment: float) -> float:
        return min(self.cpu, key=lambda sample: abs(sample[0] - moment))[1]


def run(
    params: Params,
    say: Progress,
    events: int = 1_000_000,
    rate: float = 2_000.0,
    seconds: float = 60.0,
) -> list[dict[str, Any]]:
    """Compare the engines; the baseline of every figure is Prism's in the same run.

    Raises:
        ServiceError: a job failed.
    """
    base = workload.prepare(params, f"engines-{events}", say, simulator_events=events)
    cases: dict[str, Mapping[str, Any]] = {"prism": PRISM}
    cases |= {name: {"engine_runner": "flink", **case} for name, case in FLINK.items()}
    worked = {}
    figures = []
    for name, engine in cases.items():
        if name in FLINK:
            services.up(say, task_managers=engine["parallelism"])
        say(f"{name}: {events} eventos atrasados")
        with workload.own_stores(base.replace(**engine), "engines") as own:
            worked[name] = _work_off(own)
        found, prism = worked[name], worked["prism"]
        figures += [
            figure(f"rate_{name}", found.rate, "events/s", prism.rate),
            figure(f"cpu_{name}", found.cpu_per_event, "us/event", prism.cpu_per_event, 1),
        ]
    for name in ("prism", LIVE):
        live = freshness.run(params.replace(**cases[name]), say, rate, seconds)
        figures += [each | {"name": f"{name}_{each['name']}"} for each in live]
    return figures


def _work_off(params: Params) -> Run:
    command = [sys.executable, "-m", "spotify_mlops", "stream", "--until-caught-up"]
    seen = Run()
    used: dict[int, float] = {}
    # What it tells goes where progress goes: the answer of a benchmark may be JSON.
    with subprocess.Popen(
        [*command, "--params", str(apps.params_file(params))], stdout=sys.stderr
    ) as job:
        while job.poll() is None:
            now = {process.pid: _cpu(process) for process in _processes(job)}
            used |= {pid: max(cpu, used.get(pid, 0.0)) for pid, cpu in now.items()}
            seen.cpu.append((time.time(), sum(used.values())))
            try:
                job.wait(SAMPLE_SECONDS)
            except subprocess.TimeoutExpired:
                continue
    if job.returncode:
        raise ServiceError("La tarea de streaming falló; su error está arriba.")
    seen.events, seen.began, seen.ended = _written(params)
    return seen


def _processes(job: subprocess.Popen[bytes]) -> Iterator[psutil.Process]:
    """Yield the processes of the job and, where there is one, of the cluster."""
    cluster = [r.pid for r in state.read().values() if r.name.startswith("flink")]
    for pid in (job.pid, *(pid for pid in cluster if pid is not None)):
        try:
            yield from (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))
        except psutil.NoSuchProcess:
            continue


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system


def _written(params: Params) -> tuple[int, float, float]:
    """Return how many events were counted after the first window written, and the two moments."""
    windows = bigquery.query(
        params,
        "SELECT window_start, MAX(written_at) AS written_at "
        "FROM {dataset}.spotify_features_rows GROUP BY 1 ORDER BY 2",
    )
    first, began = windows.row(0)
    ended = windows["written_at"].max()
    assert isinstance(ended, datetime)
    counted = bigquery.query(
        params,
        "SELECT SUM(counted) FROM {dataset}.spotify_counters WHERE window_start != @first",
        first=first,
    ).item()
    return int(counted), began.timestamp(), ended.timestamp()
