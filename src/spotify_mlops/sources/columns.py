"""Columns of text as numbers and dates, as people's tools write them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Any

import polars as pl

_DAY = re.compile(
    r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})"
    r"(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?\s*(?:Z|UTC|[+-]\d{2}:?\d{2})?)?",
    re.ASCII | re.IGNORECASE,
)
_COMPACT_DAY = re.compile(r"(\d{4})()(\d{2})(\d{2})", re.ASCII)
_SPACES = r"[\x20\x{a0}\x{2009}\x{202f}'’]"


def mapped(texts: pl.Series, function: Callable[[str], Any], dtype: Any) -> pl.Series:
    """Return what a function makes of each text (null for null), asked once for each that differs.

    It pays where a column has few different values.
    """
    known = texts.unique().drop_nulls()
    values = pl.Series("value", [function(text) for text in known.to_list()], dtype=dtype)
    table = pl.DataFrame({"text": known, "value": values})
    joined = texts.alias("text").to_frame().join(table, "text", "left", maintain_order="left")
    return joined["value"].alias(texts.name)


def whole_numbers(texts: pl.Series, low: int, high: int) -> pl.Series:
    """Return the whole numbers (Int64) that texts say; null for others, or out of low..high.

    Thousands may be set off (``1.234.567``, ``1,234,567``, ``1 234 567``) and decimals be zeros
    (``900000.0``). A point or comma before three digits sets off thousands: a count is whole.

    >>> texts = pl.Series(["7", "900000.0", "1.234", "1,5", "1.234.567,00"])
    >>> whole_numbers(texts, 1, 10**9).to_list()
    [7, 900000, 1234, None, 1234567]
    """
    number = pl.col("text").str.to_integer(strict=False, dtype=pl.Int64)
    frame = texts.alias("text").to_frame().with_columns(number=number)
    signed = frame["text"].str.contains(r"^\+").fill_null(False)
    if (frame["number"].null_count() > frame["text"].null_count()) or signed.any():
        text = pl.col("text")
        by_comma = text.str.contains(r"^\d{1,3}(,\d{3})+(\.0+)?$")
        by_point = text.str.contains(r"^\d{1,3}(\.\d{3})+(,0+)?$")
        by_space = text.str.contains(rf"^\d{{1,3}}({_SPACES}\d{{3}})+([.,]0+)?$")
        digits = (
            pl.when(text.str.contains(r"^\d+$"))
            .then(text)
            .when(by_comma)
            .then(text.str.replace(r"\.0+$", "").str.replace_all(",", "", literal=True))
            .when(by_point)
            .then(text.str.replace(r",0+$", "").str.replace_all(".", "", literal=True))
            .when(by_space)
            .then(text.str.replace(r"[.,]0+$", "").str.replace_all(_SPACES, ""))
            .when(text.str.contains(r"^\d+[.,]0+$"))
            .then(text.str.replace(r"[.,]0+$", ""))
        )
        frame = frame.with_columns(number=digits.str.to_integer(strict=False, dtype=pl.Int64))
    fits = pl.col("number").is_between(low, high)
    return frame.select(pl.when(fits).then("number").alias(texts.name)).to_series()


def days(texts: pl.Series) -> pl.Series:
    """Return the days (Date) that texts begin with, year first; null where they say none.

    Days written ``05/01/2024`` are none: nothing says which number is the month.

    >>> days(pl.Series(["2024-01-05", "2024/1/5", "2024-01-05 00:00:00", "05/01/2024"])).to_list()
    [datetime.date(2024, 1, 5), datetime.date(2024, 1, 5), datetime.date(2024, 1, 5), None]
    """
    return mapped(texts, _day, pl.Date)


def _day(text: str) -> date | None:
    match = _DAY.fullmatch(text) or _COMPACT_DAY.fullmatch(text)
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[3]), int(match[4]))
    except ValueError:
        return None
