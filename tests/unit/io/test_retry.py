"""Asking again: what goes away, what does not, and what never holds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from spotify_mlops.io import retry


class AwayError(Exception):
    """Somebody is away."""


def failing(times: int, error: Exception) -> tuple[list[int], Callable[[], int]]:
    calls: list[int] = []

    def call() -> int:
        calls.append(len(calls))
        if len(calls) <= times:
            raise error
        return len(calls)

    return calls, call


def is_away(error: Exception) -> bool:
    return isinstance(error, AwayError)


def test_what_is_away_is_asked_until_it_answers() -> None:
    calls, call = failing(3, AwayError())
    assert retry.again(call, is_away, None, pause=0.001) == 4
    assert len(calls) == 4


def test_another_error_is_raised_at_once_with_its_cause() -> None:
    error = ValueError("no")
    error.__cause__ = KeyError("why")
    calls, call = failing(3, error)
    with pytest.raises(ValueError, match="no") as raised:
        retry.again(call, is_away, None, pause=0.001)
    assert len(calls) == 1
    assert isinstance(raised.value.__cause__, KeyError)


def test_when_the_time_is_over_the_last_error_is_raised() -> None:
    calls, call = failing(10**9, AwayError("still"))
    with pytest.raises(AwayError, match="still"):
        retry.again(call, is_away, 0.05, pause=0.001)
    assert len(calls) > 1


def test_what_was_found_last_is_returned_whether_it_holds_or_not() -> None:
    found = iter(range(100))
    assert retry.until(lambda: next(found), lambda n: n == 3, None, 0.001) == 3
    assert retry.until(lambda: "never", lambda text: text == "now", 0.01, 0.001) == "never"
    assert next(found) == 4
