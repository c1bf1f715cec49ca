"""Digests of content: every bit counts, the order of rows and columns does not."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_mlops.config import params
from spotify_mlops.operations import compare


def unfolded(time: datetime) -> datetime:
    return time.replace(fold=0)


ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(-5, 5),
        st.none() | st.floats(width=32),
        st.none() | st.text(max_size=3),
        st.none() | st.binary(max_size=3),
        st.none() | st.booleans(),
        # Both folds are one instant, and two representations.
        st.none() | st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 2)).map(unfolded),
        st.none() | st.dates(date(2026, 1, 1), date(2026, 1, 9)),
    ),
    max_size=8,
)
SCHEMA = {
    "whole": pl.Int64,
    "real": pl.Float64,
    "text": pl.String,
    "bytes": pl.Binary,
    "truth": pl.Boolean,
    "time": pl.Datetime("us"),
    "day": pl.Date,
}


def frame(rows: list[tuple[object, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


@settings(max_examples=60, deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_order_written_at_and_widths_do_not_count(rows: list[tuple[object, ...]], draw) -> None:
    expected = compare.digest(frame(rows))
    draw.shuffle(rows)
    again = frame(rows).with_columns(pl.col("whole").cast(pl.Int16), written_at=datetime.now(UTC))
    assert compare.digest(again.select(draw.sample(again.columns, again.width))) == expected
    assert expected.rows == len(rows)


@settings(max_examples=60, deadline=None)
@given(ROWS.filter(bool), ROWS.filter(bool))
def test_equal_digests_mean_equal_rows(
    one: list[tuple[object, ...]], two: list[tuple[object, ...]]
) -> None:
    same = sorted(map(repr, one)) == sorted(map(repr, two))
    assert (compare.digest(frame(one)) == compare.digest(frame(two))) == same


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"a": [0.0]}, {"a": [-0.0]}),
        ({"a": [0.1 + 0.2]}, {"a": [0.3]}),
        ({"a": [None, 1]}, {"a": [0, 1]}),
        ({"a": ["", None]}, {"a": ["", ""]}),
        ({"a": ["ab", "c"]}, {"a": ["a", "bc"]}),
        ({"a": ["x"], "b": ["y"]}, {"a": ["y"], "b": ["x"]}),
        ({"a": [1]}, {"b": [1]}),
        ({"a": [1]}, {"a": [1, 1]}),
    ],
)
def test_what_differs_differs(one: dict[str, list[object]], two: dict[str, list[object]]) -> None:
    assert compare.digest(pl.DataFrame(one)) != compare.digest(pl.DataFrame(two))


def test_columns_of_other_kinds_are_refused() -> None:
    with pytest.raises(TypeError, match="a"):
        compare.digest(pl.DataFrame({"a": [[1]]}))


EXTENT = compare.Extent({0: 2, 1: 0}, datetime(2026, 1, 1, 2, tzinfo=UTC))


def test_an_extent_leaves_out_what_comes_later() -> None:
    settings = params.load("local", window="1h")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    windows = pl.DataFrame({"window_start": [start.replace(hour=h) for h in range(4)]})
    closed = windows.filter(compare.within(windows, EXTENT, settings.windows))
    assert closed["window_start"].dt.hour().to_list() == [0, 1]
    counters = pl.DataFrame(
        {
            "window_start": [start, start.replace(hour=3), None, None, None],
            "log_partition": [1, 0, 0, 0, 1],
            "log_offset": [None, None, 1, 2, 0],
        }
    )
    kept = counters.filter(compare.within(counters, EXTENT, settings.windows))
    assert kept.rows() == [counters.row(0), counters.row(2)]
    nothing = compare.Extent({0: 2}, None)
    assert windows.filter(compare.within(windows, nothing, settings.windows)).is_empty()


KEY = ("country", "track_id")


def rows(*values: tuple[str, str, float | None]) -> pl.DataFrame:
    return pl.DataFrame(
        values, schema=[*KEY, "x"], orient="row", schema_overrides={"x": pl.Float64}
    )


def test_differences_are_found_value_by_value() -> None:
    expected = rows(("CO", "a", 0.1), ("CO", "b", 0.0), ("CO", "c", None), ("ES", "d", 1.0))
    same = compare.differences(expected, expected[::-1], KEY, ["x"])
    assert same.none
    assert same.compared == 4
    found = rows(
        ("CO", "a", 0.1 + 2**-55), ("CO", "b", -0.0), ("CO", "c", 0.0), ("US", "e", 1.0),
    )  # fmt: skip
    wrong = compare.differences(expected, found, KEY, ["x"])
    assert wrong.compared == 3
    assert wrong.columns == {"x": 3}
    assert wrong.found["track_id"].to_list() == wrong.expected["track_id"].to_list() == [*"abc"]
    assert wrong.expected["x"].to_list() == [0.1, 0.0, None]
    assert wrong.missing.rows() == [("ES", "d", 1.0)]
    assert wrong.extra.rows() == [("US", "e", 1.0)]


def test_each_copy_of_a_row_is_compared() -> None:
    expected = rows(("CO", "a", 1.0), ("CO", "b", 2.0))
    copies = rows(("CO", "a", 1.0), ("CO", "b", 2.0), ("CO", "a", 1.5))
    wrong = compare.differences(expected, copies, KEY, ["x"])
    assert wrong.compared == 3
    assert wrong.found.rows() == [("CO", "a", 1.5)]
    assert wrong.expected.rows() == [("CO", "a", 1.0)]
    nothing = compare.differences(expected, copies.clear(), KEY, ["x"])
    assert nothing.compared == 0
    assert nothing.missing.height == 2
