"""The event contract: what a record of the topic may be, and its column form."""

from .codec import decode
from .contract import EVENT_COLUMNS, NULLABLE
from .encoding import encode, encode_heartbeat
from .refusals import Ahead
from .schema import (
    COUNTRIES,
    DUPLICATE_KEY,
    EVENT_TYPES,
    LOG_COLUMNS,
    SCHEMA_VERSION,
    SCHEMA_VERSIONS,
    Kind,
    Reason,
)

__all__ = [
    "COUNTRIES",
    "DUPLICATE_KEY",
    "EVENT_COLUMNS",
    "EVENT_TYPES",
    "LOG_COLUMNS",
    "NULLABLE",
    "SCHEMA_VERSION",
    "SCHEMA_VERSIONS",
    "Ahead",
    "Kind",
    "Reason",
    "decode",
    "encode",
    "encode_heartbeat",
]
