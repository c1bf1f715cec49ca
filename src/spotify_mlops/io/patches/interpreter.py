"""CPython: how long a thread keeps the interpreter, and what its collector walks.

Both by public functions, but for the whole process: nothing else in the project calls them.
"""

from __future__ import annotations

import gc
import sys

LONG_TURN, SHORT_TURN = 0.005, 0.0005
"""Seconds that a thread may keep the interpreter while others wait for it; Python's own, and ours
where somebody waits for an answer that goes through a dozen threads, each of which would wait a
whole turn for one that works on a batch. Whoever has a backlog is better off with long turns: a
sixth more events a second."""


def take_turns(seconds: float) -> None:
    """Say how long a thread of this process keeps the interpreter from the others."""
    sys.setswitchinterval(seconds)


def keep_what_is_here() -> None:
    """Tell the collector that what is alive now stays.

    A hundred thousand objects of Beam and the libraries live as long as a job. Each batch sets off
    collections that would walk them all: an eighth of its CPU time.
    """
    gc.freeze()
