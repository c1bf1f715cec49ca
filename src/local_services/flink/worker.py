"""One Python worker of a Flink job, in a process of its own.

It takes its work from a TaskManager, and ends with that, or with the pool.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
from pathlib import Path

from apache_beam.runners.worker.sdk_worker import SdkHarness

from spotify_mlops.io import logs
from spotify_mlops.io.patches import beam as beam_patch
from spotify_mlops.io.patches import malloc

_STATE_CACHE = 100 << 20
"""As Beam's own option has it (``max_cache_memory_usage_mb``)."""


def _end_with(pool: multiprocessing.process.BaseProcess) -> None:
    pool.join()  # which waits for the pool's end of a pipe: nothing is ever written
    os._exit(1)


def main(control: str, worker_id: str, log: Path) -> None:
    """Work until the TaskManager has no more.

    Args:
        control: its address.
        worker_id: that it knows this worker by.
        log: the file of what this process says.
    """
    with log.open("ab") as output:
        for said in (1, 2):
            os.dup2(output.fileno(), said)
    os.environ[logs.LOG] = str(log)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logs.keep_small()
    beam_patch.apply()
    malloc.keep_memory()
    pool = multiprocessing.parent_process()
    assert pool is not None
    threading.Thread(target=_end_with, args=(pool,), name="pool", daemon=True).start()
    SdkHarness(
        control,
        worker_id=worker_id,
        state_cache_size=_STATE_CACHE,
        data_buffer_time_limit_ms=-1,  # what a bundle makes leaves with it
    ).run()
