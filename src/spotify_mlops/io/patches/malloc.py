"""glibc's malloc and Polars' jemalloc: freed memory is kept for the next batch.

By themselves both give free pages back to the system within seconds, and each batch has them
cleared for it again: a tenth of a job's CPU time.
"""

from __future__ import annotations

import ctypes
import os

KEPT_BYTES = 512 << 20
"""Of freed memory that the C library keeps for the next batch."""
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""``mallopt``'s parameters, as in glibc's malloc.h."""
_LARGEST_MMAP_THRESHOLD = 32 << 20


def keep_polars_memory() -> None:
    """Set Polars' allocator up, which reads its settings once, when it is loaded.

    ``_RJEM_MALLOC_CONF`` is the variable of tikv-jemallocator, which Polars is built with.
    """
    os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:60000,muzzy_decay_ms:60000")


def keep_memory() -> None:
    """Make glibc keep what it frees; elsewhere nothing happens."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_TOP_PAD, KEPT_BYTES // 8)
        mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
