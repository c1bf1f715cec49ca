"""Work in a thread of its own, for as long as a streaming job runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def running(name: str, work: Callable[[threading.Event], None], patience: float) -> Iterator[None]:
    """Have ``work`` done for as long as the block runs.

    Args:
        name: of the thread.
        work: is given the event that says that the block has ended.
        patience: seconds that the end of the block waits for it: it must not hold up the job's.
    """
    ended = threading.Event()
    worker = threading.Thread(target=work, args=(ended,), name=name, daemon=True)
    worker.start()
    try:
        yield
    finally:
        ended.set()
        worker.join(patience)
