"""Records that are written alike, read by columns: none becomes an object of Python.

Most records of a batch have one shape: a flat object with the same fields in the same order, and
no escapes. Of one such record comes a pattern of them all. What matches it is JSON that can be read
in one way only, so its groups are what the typed decoder would find. What does not is left to that
decoder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any

import polars as pl

from .contract import MEMBERS, written
from .schema import MAX_TEXT_BYTES

ROW = "_row"
_BY_NAME = {member.name: member for member in MEMBERS}
_REQUIRED = {member.name for member in MEMBERS if member.required}
_DTYPES: dict[str, Any] = dict(written([]).schema)
_TEXT = r'"(?P<{}>[^"\\\x00-\x1f]*)"'
"""Text that is what it says."""
_INTEGER = "(?P<{}>0|[1-9][0-9]{{0,17}})"
"""It fits Int64."""
_LEAST = 1000
"""Fewer records take no longer one by one."""
_SAMPLES = 8
"""Records that are looked at for a shape."""
_WORTH = 8
"""A shape of fewer than one in so many of the records is the last that is tried."""
_HIGHEST = 0xF4
"""No byte of UTF-8 is above it."""


def read(values: pl.Series) -> pl.DataFrame:
    """Return what is read of the records (Binary) of few shapes.

    Returns:
        ``_row``, the place of each record that is read, in order; and ``MEMBERS`` as they are
        written, String or Int64. What a record does not have is its default.
    """
    parts = [groups.select(ROW, *_columns(groups.columns)) for groups in _parts(values)]
    if len(parts) == 1:
        return parts[0]
    return pl.concat([pl.DataFrame(schema={ROW: pl.UInt32} | _DTYPES), *parts]).sort(ROW)


def _columns(found: Collection[str]) -> Iterator[pl.Expr]:
    for name, dtype in _DTYPES.items():
        if name in found:
            yield pl.col(name).cast(dtype)
        else:
            yield pl.lit(_BY_NAME[name].default, dtype).alias(name)


def _parts(values: pl.Series) -> Iterator[pl.DataFrame]:
    """Yield the records of each shape: ``_row``, and the groups of its pattern."""
    left = _texts(values)
    while left.height >= _LEAST and (pattern := _common(left["text"])):
        groups = left.select(ROW, pl.col("text").str.extract_groups(pattern)).unnest("text")
        taken = groups["event_id"].is_not_null()
        count = taken.sum()
        yield groups if count == left.height else groups.filter(taken)
        if count == left.height or count * _WORTH < left.height:
            return
        left = left.filter(~taken)


def _texts(values: pl.Series) -> pl.DataFrame:
    """Return ``_row`` and ``text`` of the records that may have a shape."""
    rows = values.alias("text").to_frame().with_row_index(ROW)
    rows = rows.filter(values.bin.size() <= MAX_TEXT_BYTES)  # so is each text in it
    for sieve in (None, _likely, is_text):
        rows = rows if sieve is None else rows.filter(sieve(rows["text"]))
        with suppress(pl.exceptions.PolarsError):
            return rows.with_columns(rows["text"].cast(pl.String))
    # By way of lists, they leave the buffers where the others lie.
    return rows.with_columns(_bytes(rows["text"]).cast(pl.Binary).cast(pl.String))


def is_text(values: pl.Series) -> pl.Series:
    """Tell which records (Binary) are UTF-8; of a null, that it is."""
    try:
        values.cast(pl.String)
    except pl.exceptions.PolarsError:  # it does not say which
        return pl.Series([_is_utf8(value) for value in values], dtype=pl.Boolean)
    return pl.repeat(True, len(values), eager=True)


def _likely(values: pl.Series) -> pl.Series:
    return _bytes(values).list.max().fill_null(0) <= _HIGHEST


def _bytes(values: pl.Series) -> pl.Series:
    return values.cast(pl.List(pl.UInt8))


def _is_utf8(value: bytes | None) -> bool:
    try:
        (value or b"").decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _common(texts: pl.Series) -> str | None:
    """Return the pattern of the first of some samples that has a shape."""
    samples = texts.gather_every(len(texts) // _SAMPLES + 1)
    return next(filter(None, map(_pattern_of, samples)), None)


def _pattern_of(text: str) -> str | None:
    """Return the pattern of a record and those like it; None if it has no shape."""
    try:
        names = json.loads(text, object_pairs_hook=lambda pairs: tuple(name for name, _ in pairs))
    except (ValueError, RecursionError):
        return None
    pattern = _pattern(names) if isinstance(names, tuple) else None
    return pattern if pattern and re.fullmatch(pattern, text) else None


@lru_cache
def _pattern(names: tuple[str, ...]) -> str | None:
    """Return what objects with these members, each once and in this order, match.

    It never has two ways to go on: the regex crate reads such a pattern in one pass.
    """
    if len(set(names)) < len(names) or not _REQUIRED <= set(names) <= _BY_NAME.keys():
        return None
    return r"^\{" + ", ?".join(map(_member, names)) + r"\}$"


def _member(name: str) -> str:
    member = _BY_NAME[name]
    value = (_INTEGER if member.value.json is int else _TEXT).format(name)
    return f'"{name}": ?' + (f"(?:null|{value})" if member.nullable else value)
