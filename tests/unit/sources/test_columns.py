"""Numbers and dates as people's tools write them."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from spotify_mlops.sources.columns import days, whole_numbers


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7), ("007", 7), ("900000.0", 900_000), ("900000,00", 900_000), ("1.234", 1234),
        ("1,234", 1234), ("1.234.567", 1_234_567), ("1,234,567", 1_234_567),
        ("1 234 567", 1_234_567),
        ("1\u00a0234", 1234), ("1\u202f234", 1234), ("1'234", 1234), ("1.234.567,00", 1_234_567),
        ("1,234,567.0", 1_234_567), ("1.5", None), ("1,23", None), ("1,2345", None),
        ("1.234,567", None), ("12.34.567", None), ("-3", None), ("+3", None), ("0", None),
        ("1e6", None), ("x", None), ("9" * 30, None), ("1_000", None), ("٣", None), (None, None),
    ],
)  # fmt: skip
def test_a_whole_number_is_read_or_nothing(text: str | None, number: int | None) -> None:
    for column in ([text], [text, "5"], [text, "1.000"]):
        found = whole_numbers(pl.Series(column, dtype=pl.String), 1, 10**12)
        assert found[0] == number, column


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2024-01-05", (2024, 1, 5)), ("2024/01/05", (2024, 1, 5)), ("2024/1/5", (2024, 1, 5)),
        ("2024.01.05", (2024, 1, 5)), ("20240105", (2024, 1, 5)),
        ("2024-01-05 00:00:00", (2024, 1, 5)), ("2024-01-05T00:00:00.000Z", (2024, 1, 5)),
        ("2024-01-05 00:00:00+00:00", (2024, 1, 5)), ("05/01/2024", None), ("2024-13-01", None),
        ("2024-01/05", None), ("2024", None), ("ayer", None), (None, None),
    ],
)  # fmt: skip
def test_a_day_is_read_or_nothing(text: str | None, day: tuple[int, int, int] | None) -> None:
    found = days(pl.Series([text, "2020-02-03"], dtype=pl.String))
    assert found.to_list() == [day and date(*day), date(2020, 2, 3)]
