"""Ending what runs for ever: at a signal, or when the caller says so."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stopping(stop_event: threading.Event | None) -> Iterator[threading.Event]:
    """Give an event that SIGTERM and SIGINT set, unless the caller brought its own."""
    if stop_event is not None or threading.current_thread() is not threading.main_thread():
        yield stop_event or threading.Event()
        return
    stop = threading.Event()
    with handling(lambda *_: stop.set()):
        yield stop


@contextmanager
def handling(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Have SIGTERM and SIGINT handled so; what they did before, they do again afterwards."""
    before = [signal.signal(number, handler) for number in _SIGNALS]
    try:
        yield
    finally:
        for number, earlier in zip(_SIGNALS, before, strict=True):
            signal.signal(number, earlier)
