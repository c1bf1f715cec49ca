"""Names, types and closed sets of the event contract."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

import polars as pl

SCHEMA_VERSION = 1
"""The version that this code writes."""

SCHEMA_VERSIONS = (1, 2)
"""The versions that this code reads. A new one only adds fields: those of version 1 keep name,
type and meaning, so one decoder reads them all, and what it does not know it leaves alone. A
version with another meaning would need a decoder of its own before it is named here. A record of
a version that is not here is a dead letter: the code cannot know what its fields mean.
"""

EVENT_TYPES = ("play", "skip", "search_result", "new_release", "recommendation")

# ISO 3166-1 alpha-2, officially assigned codes; and XK (Kosovo), which ISO leaves to its users and
# which is a market of Spotify.
_COUNTRY_CODES = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR "
    "BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ "
    "EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW "
    "GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY "
    "KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV "
    "MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY "
    "QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG "
    "TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA "
    "ZM ZW"
)
COUNTRIES = frozenset(_COUNTRY_CODES.split())

UTC_MICROSECONDS = pl.Datetime("us", "UTC")

LOG_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "partition": pl.Int32,
    "offset": pl.Int64,
    "append_time": UTC_MICROSECONDS,
    "value": pl.Binary,  # the record's bytes as they are in the log; null is a tombstone
}
"""A batch as it is read from the log, in offset order within each partition."""

DUPLICATE_KEY = ("event_id", "event_time", "country", "track_id")
"""Two events with these four equal are one event, recorded twice."""

MAX_COUNT = 10**12
MAX_DEPTH = 100
"""Levels of objects and arrays in a record, MongoDB's own limit. Without one, what is too deep
would depend on how deep the stack of the process happens to be."""
MAX_TEXT_BYTES = 64 << 10
"""Of a text field, in UTF-8: a row of every table and a document stay far below their limits."""
EARLIEST_TIME = datetime(1900, 1, 1, tzinfo=UTC)
LATEST_TIME = datetime(9000, 1, 1, tzinfo=UTC)
"""Event times and heartbeats beyond these would leave what the stores and Python can hold once
windows, lags and lateness are added or taken away."""


class Kind(StrEnum):
    """What a record of the log turned out to be."""

    EVENT = "event"
    HEARTBEAT = "heartbeat"
    DEAD_LETTER = "dead_letter"


class Reason(StrEnum):
    """Why a record could not become an event."""

    EMPTY = "empty"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    UNKNOWN_COUNTRY = "unknown_country"
    UNKNOWN_EVENT_TYPE = "unknown_event_type"
    FUTURE_EVENT_TIME = "future_event_time"
    UNSUPPORTED_SCHEMA_VERSION = "unsupported_schema_version"
    FUTURE_HEARTBEAT = "future_heartbeat"
    TOO_LARGE = "too_large"  # decompressed: its bytes are in the log alone
    UNREADABLE = "unreadable"  # no client can decompress it, or its checksum is wrong
    POISON = "poison"  # the code raised over this record alone: a defect that stops nothing
