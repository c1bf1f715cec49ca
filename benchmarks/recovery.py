"""``bench recovery``: how long the live job on Flink gives no window after a process is killed.

Windows last one second, as in ``bench freshness``. What was killed is started again by ``up``, as
whoever looks after a cluster does; the job itself is left alone. A slot to spare takes the work at
once, without waiting for that.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import freshness
import psutil
import workload
from workload import figure

from local_services import services
from spotify_mlops.config.errors import ServiceError
from spotify_mlops.config.params import Params
from spotify_mlops.config.progress import Progress
from spotify_mlops.domain.windows import EPOCH
from spotify_mlops.io import retry
from spotify_mlops.io.flink import JOB_MANAGER
from spotify_mlops.io.local import processes, state
from spotify_mlops.operations import apps
from spotify_mlops.operations.engines import flink

CASES: dict[str, tuple[str | None, int]] = {
    "task_manager": (None, 1),
    "job_manager": (JOB_MANAGER, 1),
    "task_manager_with_spare": (None, 2),
}
"""What is killed (None: the TaskManager that runs the job), and how many TaskManagers there are."""
PATIENCE = 300.0
"""Seconds in which windows have to come, before the kill and after it."""


def run(params: Params, say: Progress, rate: float = 2_000.0) -> list[dict[str, Any]]:
    """Kill one process of the cluster after the other; the baseline is none.

    Raises:
        ServiceError: no window came in ``PATIENCE``.
    """
    params = params.replace(engine_runner="flink", engine_sources=1, parallelism=1)
    bundle = workload.model(params, say)
    figures = []
    for name, (victim, count) in CASES.items():
        services.up(say, task_managers=count)
        with freshness.bench(params, bundle) as bench:
            seconds = _recovery(bench, rate, victim, count, say)
            figures.append(figure(f"recovery_{name}", seconds, "s", None, 1))
    return figures


def _recovery(
    params: Params, rate: float, victim: str | None, task_managers: int, say: Progress
) -> float:
    """Return the seconds from a kill to the first window that could not be closed before it."""
    job = apps.start_stream(params)
    script = Path(freshness.__file__).with_name("publish.py")
    what = [str(apps.params_file(params)), str(rate), str(3 * PATIENCE)]
    try:
        with subprocess.Popen([sys.executable, script, *what]) as publisher:
            try:
                _until(params, publisher, windows=freshness.WARM_UP, after=0.0)
                victim = victim or _busy(params)
                say(f"kill -9 a {victim}")
                killed = time.time()
                psutil.Process(state.read()[victim].pid).kill()
                services.up(task_managers=task_managers)
                return _until(params, publisher, windows=1, after=killed) - killed
            finally:
                publisher.terminate()
    finally:
        processes.stop(job)


def _busy(params: Params) -> str:
    """Return the TaskManager that runs the job."""
    found = flink.ask(params, "/taskmanagers")["taskmanagers"]
    (busy,) = (each["id"] for each in found if not each["freeSlots"])
    return str(busy)


def _until(params: Params, publisher: subprocess.Popen[bytes], windows: int, after: float) -> float:
    """Return when so many windows that could close only after a moment were seen."""

    def look() -> float | None:
        found = freshness.readable(params, EPOCH)["window_start"]
        now = time.time()
        return now if sum(freshness.closable(each) > after for each in found) >= windows else None

    seen = retry.until(
        look,
        lambda when: when is not None or publisher.poll() is not None,
        PATIENCE,
        freshness.POLL_SECONDS,
    )
    if seen is not None:
        return seen
    raise ServiceError("No hubo ventanas; mira «spotify-mlops logs stream».")
