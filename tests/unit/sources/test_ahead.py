"""What is made ahead is what would have been made."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from spotify_mlops.sources.ahead import ahead


def test_items_come_in_their_order_and_then_the_error() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise ValueError("five")

    taken = ahead(items())
    assert [next(taken) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="five"):
        next(taken)
    assert list(ahead([])) == []


def test_one_is_made_while_another_is_used_and_no_more() -> None:
    made: list[int] = []
    second = threading.Event()

    def items() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            if number == 1:
                second.set()
            yield number

    taken = ahead(items())
    assert next(taken) == 0
    assert second.wait(10)
    assert made == [0, 1]
