"""Google's messages: JSON in and out, and which of their fields a call may set."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from google.protobuf import field_mask_pb2, json_format, timestamp_pb2
from google.protobuf.message import Message

from .errors import ApiError


def parse(message: Message, content: Any) -> None:
    """Fill a message from JSON that was read already.

    Raises:
        ApiError: a field is unknown or of the wrong type; the text names it.
    """
    try:
        json_format.ParseDict(content, message)
    except (json_format.ParseError, TypeError, AttributeError) as error:
        raise ApiError.invalid("", f"La petición no es válida: {error}") from error


def to_json(message: Message, *, integers: bool = False) -> bytes:
    """Return a message as JSON; enum values as numbers when the client asks for them."""
    text = json_format.MessageToJson(message, indent=None, use_integers_for_enums=integers)
    return text.encode()


def stamp(target: timestamp_pb2.Timestamp) -> None:
    """Set a time field to the present instant."""
    target.FromDatetime(datetime.now(UTC))


def only(message: Message, allowed: Iterable[str], path: str) -> None:
    """Refuse a message in which anything but the ``allowed`` fields is set.

    Raises:
        ApiError: UNIMPLEMENTED, with the name of the field.
    """
    known = set(allowed)
    for field, _ in message.ListFields():
        if field.name not in known:
            raise ApiError.unimplemented(f"El campo «{path}.{field.name}»")


def masked(mask: field_mask_pb2.FieldMask, allowed: Iterable[str]) -> set[str]:
    """Return the fields that an update names.

    Raises:
        ApiError: none is named, or one that cannot be changed.
    """
    known = set(allowed)
    paths = set(mask.paths)
    if not paths:
        raise ApiError.invalid("update_mask", "«update_mask» está vacía: di qué campos cambian.")
    for path in sorted(paths - known):
        raise ApiError.invalid(
            "update_mask",
            f"«update_mask» nombra «{path}», que no se puede cambiar; se puede: "
            f"{', '.join(sorted(known))}.",
        )
    return paths
