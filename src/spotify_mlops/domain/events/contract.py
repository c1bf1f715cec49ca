"""The fields of an event, each in one place.

What the decoder takes, the columns of a batch, the validity mask and the reasons against a record
all come from ``FIELDS``. To add a field, add it there: as long as it is optional, older records
stay events.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Annotated, Any, NamedTuple

import msgspec
import polars as pl

from . import schema
from .schema import COUNTRIES, EVENT_TYPES, MAX_COUNT, MAX_TEXT_BYTES, Reason
from .values import KINDS, Date, Fault, Integer, OneOf, Text, Time

HEARTBEAT = "heartbeat"
"""The ``control`` of a record that is one, whatever fields of an event it has."""


class Field(NamedTuple):
    """A field of an event. One that is not required, and has no default, may be null."""

    name: str
    value: Text | Integer
    required: bool = False
    default: Any = None

    @property
    def nullable(self) -> bool:
        """Whether null is a value of it."""
        return not self.required and self.default is None

    def of(self, content: Mapping[str, Any]) -> Any:
        """Return the field's value in a record, or what stands for one of another type."""
        value = self.value.mended(content.get(self.name, self.default))
        return self.value.unfit if value is None and not self.nullable else value


FIELDS = (
    Field("event_id", Text(empty=False), required=True),
    Field("event_time", Time(), required=True),
    Field(
        "event_type",
        OneOf(members=frozenset(EVENT_TYPES), unknown=Reason.UNKNOWN_EVENT_TYPE),
        required=True,
    ),
    Field("country", OneOf(members=COUNTRIES, unknown=Reason.UNKNOWN_COUNTRY), required=True),
    Field("track_id", Text(empty=False), required=True),
    Field("track_name", Text()),
    Field("artist_name", Text()),
    Field("count", Integer(1, MAX_COUNT), default=1),
    Field("source", Text(), required=True),
    Field("popularity", Integer(0, 100, pl.Int16, nullable=True)),
    Field("artist_id", Text()),
    Field("album_name", Text()),
    Field("release_date", Date()),
)

VERSION = Field("schema_version", Integer(0, 1 << 30), required=True)
MEMBERS = (VERSION, *FIELDS)

EVENT_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    field.name: field.value.dtype for field in FIELDS
}
"""The columns that ``decode`` adds for an event; null in a dead letter or heartbeat."""

NULLABLE = tuple(field.name for field in FIELDS if field.nullable)
"""The fields of an event that may hold anything: what is not of their type is null."""

_REQUIRED = tuple(field for field in FIELDS if field.required)
_TEXTS = tuple(
    field
    for field in sorted(FIELDS, key=lambda field: not field.required)
    if field.value.json is str
)
RULES = tuple(
    (field, rule._replace(holds=rule.holds.fill_null(False)))
    for kind in KINDS
    for field in FIELDS
    if type(field.value) is kind
    for rule in field.value.rules(field.name)
)
"""What must be so of the columns of an event, in the order in which faults are told."""

_NotHeartbeat = Annotated[str, msgspec.Meta(pattern=rf"^(?!{HEARTBEAT}\Z)")]


def _struct(name: str, member: Callable[[Field], tuple[Any, ...]]) -> Any:
    """Return what a typed decoder takes: the fields as said of each, and no heartbeat."""
    not_heartbeat = _NotHeartbeat | int | float | bool | list[Any] | dict[str, Any] | None
    members = [("schema_version", int), *map(member, FIELDS), ("control", not_heartbeat, None)]
    return msgspec.defstruct(name, members, kw_only=True, gc=False)


def _typed(field: Field) -> tuple[Any, ...]:
    if field.required:
        return (field.name, field.value.json)
    if field.nullable:
        return (field.name, field.value.json | None, None)
    return (field.name, field.value.json, field.default)


Record: Any = _struct("Record", _typed)
"""A record whose fields have their types."""


UNREAD = Record(schema_version=0, **{field.name: field.value.unfit for field in _REQUIRED})
"""Has a record's place in the columns when the typed decoder does not take it; never valid."""


def _reader(name: str) -> Callable[[list[Any]], list[Any]]:
    """Return what reads an attribute of many records.

    Written out, as ``dataclasses`` does: with the name in the code, Python learns where it is, and
    takes half the time of ``attrgetter``.
    """
    read: Callable[[list[Any]], list[Any]] = eval(f"lambda rows: [row.{name} for row in rows]")
    return read


_READERS = {field.name: _reader(field.name) for field in MEMBERS}


def written(records: list[Any]) -> pl.DataFrame:
    """Return what records have of ``MEMBERS``, as it is written: String, or Int64."""
    return pl.DataFrame([m.value.series(m.name, _READERS[m.name](records)) for m in MEMBERS])


def columns(written: pl.DataFrame) -> list[pl.Series]:
    """Return the columns of records, and those that only the rules look at (``_`` before them)."""
    version = VERSION.value.column(written[VERSION.name]).alias("_version")
    return [version, *(field.value.column(written[field.name]) for field in FIELDS)]


def valid() -> pl.Expr:
    """Return the validity mask of ``columns`` and ``values.LATEST``."""
    known = pl.col("_version").is_in(schema.SCHEMA_VERSIONS)
    return pl.all_horizontal(known, *(rule.holds for _, rule in RULES))


def mended(value: bytes) -> Any:
    """Return the ``Record`` of a record in which what is optional has another type.

    What cannot be read is null, and a whole number may be written ``73.0``. Every occurrence of a
    repeated field must have its type, as the typed decoder asks.

    Raises:
        ValueError: something else is wrong with it.
    """
    with suppress(msgspec.ValidationError):  # a number out of all range, which is told below
        msgspec.json.decode(value)
    pairs = json.loads(value, object_pairs_hook=_Pairs, parse_int=_saturated)
    if not isinstance(pairs, _Pairs):
        raise ValueError("no object")
    members: dict[str, Any] = {}
    for name, item in pairs:
        field = _BY_NAME.get(name)
        if name == "schema_version" and type(item) is int:
            members[name] = item
        elif field is not None:
            whole = field.value.mended(item)
            if whole is None and not field.nullable:
                raise ValueError(f"Expected `{field.value.json.__name__}` - at `$.{name}`")
            members[name] = whole
        elif name == "schema_version" or (name == "control" and item == HEARTBEAT):
            raise ValueError(f"Expected another value - at `$.{name}`")
    try:
        return Record(**members)
    except TypeError as error:
        raise ValueError(str(error)) from error


class _Pairs(list[tuple[str, Any]]):
    """The members of an object in their order, repeated ones too."""


_BY_NAME = {field.name: field for field in FIELDS}


def _saturated(digits: str) -> int:
    return int(digits) if len(digits) < 40 else int(digits[0] + "9" * 39)


def overlong(content: Mapping[str, Any]) -> str | None:
    """Return the first text field that is longer than ``MAX_TEXT_BYTES``."""
    for field in _TEXTS:
        text = content.get(field.name)
        if isinstance(text, str) and _bytes(text) > MAX_TEXT_BYTES:
            return field.name
    return None


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def fault_of_record(content: Mapping[str, Any]) -> Fault | None:
    """Return what keeps a record's fields out of the columns: one missing, no text, too long."""
    for field in _REQUIRED:
        if content.get(field.name) is None:
            return Fault(Reason.MISSING_FIELD, field.name)
    for field in _REQUIRED:
        value = content[field.name]
        if type(value) is not str:
            told = f"{field.name}: expected text, got {type(value).__name__}"
            return Fault(Reason.WRONG_TYPE, told)
    name = overlong(content)
    if name is not None:
        return Fault(Reason.OUT_OF_RANGE, f"{name} is longer than {MAX_TEXT_BYTES} bytes")
    return None


def leniently(content: Mapping[str, Any]) -> Any:
    """Return the ``Record`` of members that the typed decoder does not take; never valid.

    It has a value of its own wherever the type is right, so that the rules can be asked.
    """
    return Record(schema_version=0, **{field.name: field.of(content) for field in FIELDS})


def held(frame: pl.DataFrame) -> pl.DataFrame:
    """Return of rows like ``valid``'s which of the ``RULES`` hold, a column each."""
    return frame.select(rule.holds.alias(str(i)) for i, (_, rule) in enumerate(RULES))


def broken(content: Mapping[str, Any], flags: tuple[bool, ...]) -> Fault | None:
    """Return the fault of the first rule that does not hold for a record (a row of ``held``)."""
    if all(flags):
        return None
    field, rule = RULES[flags.index(False)]
    return rule.fault(content.get(field.name, field.default))
