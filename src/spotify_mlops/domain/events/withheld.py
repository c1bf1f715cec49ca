"""What stands in a batch for a record that is not taken into it.

A record beyond ``MAX_VALUE_BYTES``, or one that no client can read, goes through the pipeline and
into the archive as a short note in place of its value. So whoever reads the archive makes the same
dead letter of it. A note begins with bytes that are not UTF-8, so it is no event and costs the fast
path nothing; a record of the log that begins with them too is escaped, so that none is taken for
a note.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec
import polars as pl

from .schema import Reason

MAX_VALUE_BYTES = 8 << 20
"""Of a record, decompressed."""
_MARK = b"\xffspotify-mlops:"
_ESCAPED = _MARK + b"="


class _Note(msgspec.Struct):
    reason: Reason
    detail: str


def note(reason: Reason, detail: str) -> bytes:
    """Return what stands for a record: why it is a dead letter."""
    return _MARK + msgspec.json.encode(_Note(reason, detail))


def note_of_size(value: bytes) -> bytes:
    """Return what stands for a record that is too large: its size and its digest."""
    digest = hashlib.sha256(value).hexdigest()
    return note(Reason.TOO_LARGE, f"{len(value)} bytes, SHA-256 {digest}: only in the log")


def taken(values: list[bytes | None], largest: int) -> pl.Series:
    """Return the values of records as a batch takes them; ``largest`` is the size of one."""
    if largest > MAX_VALUE_BYTES:  # before polars copies it
        values = [
            note_of_size(value)
            if value is not None and len(value) > MAX_VALUE_BYTES
            else _escaped(value)
            for value in values
        ]
        return pl.Series("value", values, dtype=pl.Binary)
    series = pl.Series("value", values, dtype=pl.Binary)
    return _changed(series, series.bin.starts_with(_MARK), _escaped)


def _escaped(value: bytes | None) -> bytes | None:
    return _ESCAPED + value if value is not None and value.startswith(_MARK) else value


def original(value: bytes) -> bytes | None:
    """Return the record's own bytes; None where a note stands for them."""
    if value.startswith(_ESCAPED):
        return value[len(_ESCAPED) :]
    return None if value.startswith(_MARK) else value


def said(value: bytes) -> tuple[Reason, str] | None:
    """Return reason and detail of a note; None for a record."""
    if not value.startswith(_MARK) or value.startswith(_ESCAPED):
        return None
    try:
        found = msgspec.json.decode(value[len(_MARK) :], type=_Note)
    except msgspec.DecodeError:
        return None
    return found.reason, found.detail


def originals(values: pl.Series) -> pl.Series:
    """Do as ``original`` for each of some values."""
    return _changed(values, values.bin.starts_with(_MARK), original)


def archived(values: pl.Series) -> pl.Series:
    """Return values of the archive; of an older one, which has the large ones whole, as now."""
    large = values.bin.size() > MAX_VALUE_BYTES
    return _changed(
        values, large, lambda value: value if value.startswith(_ESCAPED) else note_of_size(value)
    )


def _changed(
    values: pl.Series, which: pl.Series, change: Callable[[bytes], bytes | None]
) -> pl.Series:
    rows = which.fill_null(False).arg_true()
    if rows.is_empty():
        return values
    changed = [change(value) for value in values.gather(rows).to_list()]
    return values.scatter(rows, pl.Series(changed, dtype=pl.Binary))
