"""Events in order and once, in memory or by way of the disk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_mlops.sources import ordering
from spotify_mlops.sources.found import as_columns
from thorough import examples

BASE = datetime(2024, 1, 5, tzinfo=UTC)
rows = st.lists(
    st.tuples(
        st.integers(0, 5), st.integers(0, 3), st.sampled_from(["CO", "ES"]), st.sampled_from("ab")
    ),
    max_size=30,
)


def events(drawn: list[tuple[int, int, str, str]]) -> pl.DataFrame:
    return as_columns(
        pl.DataFrame(
            {
                "event_time": [BASE + timedelta(days=d, hours=h) for d, h, _, _ in drawn],
                "country": [country for _, _, country, _ in drawn],
                "track_id": [track for _, _, _, track in drawn],
            },
            schema={
                "event_time": pl.Datetime("us", "UTC"), "country": pl.String, "track_id": pl.String
            },
        ),
        "t",
    )  # fmt: skip


@given(st.lists(rows, max_size=4), st.sampled_from([1, 7, 10**6]))
@examples(100)
def test_order_and_uniqueness_do_not_depend_on_what_is_written(
    tmp_path_factory: pytest.TempPathFactory,
    frames: list[list[tuple[int, int, str, str]]],
    run: int,
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path_factory.getbasetemp()))
        patched.setattr(ordering, "RUN_ROWS", run)
        with ordering.Ordered() as ordered:
            for frame in frames:
                ordered.add(events(frame))
            found = [row for part in ordered.frames() for row in part.rows()]
            repeated = ordered.repeated
            folder = ordered._folder
        assert folder is None or not Path(folder.name).exists()
    given = [row for frame in frames for row in frame]
    times = [(row[1], row[3], row[4]) for row in found]
    assert times == sorted(
        {(BASE + timedelta(days=d, hours=h), country, track) for d, h, country, track in given}
    )
    assert repeated == len(given) - len(found)


def test_a_play_stands_before_a_skip_of_the_same_listen() -> None:
    both = events([(0, 0, "CO", "a")] * 2).with_columns(event_type=pl.Series(["skip", "play"]))
    with ordering.Ordered() as ordered:
        ordered.add(both)
        (frame,) = ordered.frames()
    assert frame["event_type"].to_list() == ["play"]
