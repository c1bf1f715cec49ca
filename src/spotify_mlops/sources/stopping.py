"""Ending what runs for ever: at a signal, or when the caller says so."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stopping(stop_event: threading.Event | None) -> Iterator[threading.Event]:
    """Give an event that SIGTERM and SIGINT set, unless the caller brought its own."""
    if stop_event is not None or threading.current_thread() is not threading.main_thread():
        yield stop_event or threading.Event()
        return
    stop = threading.Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: stop.set()) for number in signals]
    try:
        yield stop
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
