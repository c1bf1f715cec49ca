"""When a partition is silent, and what lets the watermark go on without it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from spotify_mlops.operations.heartbeats import Tails, behind

EARLY = datetime(2026, 1, 5, 12, tzinfo=UTC)
LATER = EARLY + timedelta(hours=1)
IDLE = 10.0


def look(tails: Tails, ends: dict[int, int], began: float, seconds: float) -> list[list[int]]:
    """Look each half second; return what was silent."""
    times = [began + step / 2 for step in range(round(seconds * 2) + 1)]
    return [found for now in times if (found := tails.silent(ends, now, IDLE))]


def test_a_partition_is_silent_once_nothing_was_added_for_so_long() -> None:
    tails = Tails()
    assert look(tails, {0: 5, 1: 5}, 100, 9.5) == []
    assert tails.silent({0: 5, 1: 6}, 110, IDLE) == [0]


def test_what_was_added_ends_the_silence() -> None:
    tails = Tails()
    assert look(tails, {0: 5}, 100, 9) == []
    assert look(tails, {0: 6}, 109.5, 9.5) == []
    assert tails.silent({0: 6}, 119.5, IDLE) == [0]


def test_of_a_log_that_does_not_move_a_silence_is_told_once() -> None:
    tails = Tails()
    assert look(tails, {0: 5, 1: 5}, 100, 60) == [[0, 1]]
    assert tails.silent({0: 5, 1: 6}, 160.5, IDLE) == [0]
    assert tails.silent({0: 5, 1: 7}, 161, IDLE) == [0]  # others go on, so it is told again


def test_no_time_passes_while_nobody_looks() -> None:
    tails = Tails()
    assert look(tails, {0: 5}, 100, 9) == []
    assert look(tails, {0: 5}, 170, 9.5) == []


def test_a_silent_partition_that_is_behind_gets_the_newest_time() -> None:
    assert behind([0, 2], {0: EARLY, 1: LATER}) == {0: LATER, 2: LATER}


def test_one_that_is_not_behind_needs_none() -> None:
    assert behind([0, 1], {0: LATER, 1: LATER}) == {}
    assert behind([0, 1], {}) == {}
