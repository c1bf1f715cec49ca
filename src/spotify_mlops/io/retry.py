"""Asking again: of what is away for a moment, or not there yet. All of it is Google's ``Retry``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class _NotYetError(Exception):
    """What was found does not hold."""


def again(
    call: Callable[[], T],
    away: Callable[[Exception], bool],
    seconds: float | None,
    *,
    pause: float = 0.5,
    longest: float | None = None,
) -> T:
    """Call what may be repeated until it raises nothing.

    Args:
        call: what is called.
        away: whether an error may go away by itself; any other is raised at once.
        seconds: to keep asking; None for ever.
        pause: at most, in seconds, between two calls (drawn, so that callers do not meet).
        longest: to which the pause doubles; it stays as it is without.

    Raises:
        Exception: the last one, when the time is over.
    """
    from google.api_core import retry  # 0.2 s

    def last(errors: list[Exception], reason: Any, timeout: Any) -> tuple[Exception, Any]:
        return errors[-1], errors[-1].__cause__

    pauses = retry.exponential_sleep_generator(pause, longest or pause)
    found: T = retry.retry_target(call, away, pauses, timeout=seconds, exception_factory=last)
    return found


def until(
    check: Callable[[], T], holds: Callable[[T], bool], seconds: float | None, pause: float = 0.5
) -> T:
    """Check again until what is found holds or the time is over; return what was found last."""

    def attempt() -> T:
        found = check()
        if not holds(found):
            raise _NotYetError(found)
        return found

    try:
        return again(attempt, lambda error: isinstance(error, _NotYetError), seconds, pause=pause)
    except _NotYetError as last:
        found: T = last.args[0]
        return found
