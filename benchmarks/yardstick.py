"""How fast this machine is at the moment: by it, figures of other days and machines are read.

The same small work each time, with nothing of this project in it: Python on one core, which is what
most of the others wait for, and all cores at once, of which others may take their part.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from workload import figure

ROUNDS = 5
_RECORDS = 20_000
_RECORD = b'{"id":"4f2a","time":1.5,"country":"CO","names":["a","b"],"more":{"deep":null}}'
_TEXT = b"[" + b",".join([_RECORD] * _RECORDS) + b"]"
_BLOCK = bytes(32 << 20)


def speeds() -> dict[str, float]:
    """Return records a second that Python's own JSON reads, and MB a second that are hashed."""
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        return {
            "machine_core": _RECORDS / _median(lambda: json.loads(_TEXT)),
            "machine_cores": cores
            * len(_BLOCK)
            / 1e6
            / _median(lambda: list(pool.map(hashlib.sha256, [_BLOCK] * cores))),
        }


def figures(before: dict[str, float]) -> list[dict[str, Any]]:
    """Return the speeds now, with those of before the measurements as their baseline."""
    now = speeds()
    units = {"machine_core": "rec/s", "machine_cores": "MB/s"}
    return [figure(name, now[name], units[name], before[name]) for name in units]


def _median(work: Callable[[], object]) -> float:
    def once() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return statistics.median(once() for _ in range(ROUNDS))
