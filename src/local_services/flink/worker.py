"""One Python worker of a Flink job: ``python -m local_services.flink.worker CONTROL ID``.

It takes its work from a TaskManager (``CONTROL``), and ends with that, or with the pool.
"""

from __future__ import annotations

import logging
import os
import sys
import threading

from apache_beam.runners.worker.sdk_worker import SdkHarness

from spotify_mlops.io import logs
from spotify_mlops.io.patches import beam as beam_patch
from spotify_mlops.io.patches import malloc

_STATE_CACHE = 100 << 20
"""As Beam's own option has it (``max_cache_memory_usage_mb``)."""


def _end_with_the_pool() -> None:
    sys.stdin.buffer.read()  # until the pool's end closes: nothing is ever written
    os._exit(1)


def main(control: str, worker_id: str) -> None:
    """Work until the TaskManager has no more."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logs.keep_small()
    beam_patch.let_go_of_bundles()
    malloc.keep_memory()
    threading.Thread(target=_end_with_the_pool, name="pool", daemon=True).start()
    SdkHarness(
        control,
        worker_id=worker_id,
        state_cache_size=_STATE_CACHE,
        data_buffer_time_limit_ms=-1,  # what a bundle makes leaves with it
    ).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
