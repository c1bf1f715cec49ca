"""Dead letters: what there is, one of them whole, and publishing again those that are events now.

A letter stays where it is, in its table and at its place in the log. What is published again is a
new record with the same bytes and key, in the same partition, whose headers tell which letter it
was. So the log itself knows which letters were published again, whoever was interrupted when.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import polars as pl
from confluent_kafka import Message
from google.api_core.exceptions import NotFound

from ..config.errors import InputError, IntegrityError, ParamsError
from ..config.params import Params
from ..config.progress import Progress, silent
from ..config.sections import Kafka, Windows
from ..config.spanish import number
from ..domain.events import Ahead, Kind, Reason, decode
from ..io import bigquery, kafka
from ..io.bigquery import log
from ..io.kafka.publishing import Headers
from ..io.local import state

ORIGIN_HEADER = "dead-letter"
"""Names the letter that a record was: ``topic:partition:offset``."""
REASON_HEADER = "dead-letter-reason"
_PAGE = 5_000
_COLUMNS = "log_partition AS partition, log_offset AS offset, append_time, reason, detail, value"

Place = tuple[int, int]
"""Partition and offset."""


@dataclass(frozen=True)
class Letter:
    """One dead letter, whole."""

    partition: int
    offset: int
    append_time: datetime
    reason: str
    detail: str | None
    value: bytes | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON: the value as text, or in Base64 when it is none."""
        plain = asdict(self) | {"append_time": self.append_time.isoformat(), "encoding": "utf-8"}
        try:
            return plain | {"value": None if self.value is None else self.value.decode()}
        except UnicodeDecodeError:
            encoded = base64.b64encode(self.value or b"").decode()
            return plain | {"value": encoded, "encoding": "base64"}


@dataclass(frozen=True)
class Replayed:
    """What a replay did, or with ``dry_run`` would do."""

    letters: int
    published: int
    already: int
    """Events that an earlier replay published."""
    still: dict[str, int]
    """Letters that are no events for the code of now either, by its reason."""
    dry_run: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)


def counts(params: Params, reason: str | None = None) -> pl.DataFrame:
    """Count letters: ``partition``, ``reason``, ``letters``, ``first`` and ``last`` append time.

    Raises:
        ParamsError: there is no such reason.
        InputError: the log was never processed.
    """
    return _query(
        params,
        "SELECT log_partition AS partition, reason, COUNT(*) AS letters, "
        "MIN(append_time) AS first, MAX(append_time) AS last "
        "FROM {dataset}.spotify_dead_letters WHERE {where} "
        "GROUP BY 1, 2 ORDER BY 2, 1",
        reason,
    )


def recent(params: Params, reason: str | None = None, limit: int = 20) -> pl.DataFrame:
    """Return the last letters, newest first, with the columns of `Letter`."""
    return _query(
        params,
        f"SELECT {_COLUMNS} FROM {{dataset}}.spotify_dead_letters WHERE {{where}} "
        f"ORDER BY append_time DESC, log_partition, log_offset DESC LIMIT {limit:d}",
        reason,
    )


def find(params: Params, place: Place) -> Letter:
    """Return the letter at a place.

    Raises:
        InputError: there is none.
    """
    for page in _pages(params, places=[place]):
        return Letter(*page.row(0))
    raise InputError(
        f"En {place_text(place)} no hay ninguna carta muerta: míralas con "
        "«spotify-mlops dead-letters list»."
    )


def answered(params: Params, first: Mapping[int, int]) -> pl.DataFrame:
    """Return place (``partition``, ``offset``), reason and detail of the letters from there on."""
    sql = (
        "SELECT log_partition AS partition, log_offset AS offset, reason, detail "
        f"FROM {{dataset}}.spotify_dead_letters WHERE {{where}} "
        f"AND {log.where(first.items(), '>=')}"
    )
    return _query(params, sql, None).cast({"partition": pl.Int32})


def replay(
    params: Params,
    *,
    reason: str | None = None,
    places: Collection[Place] = (),
    dry_run: bool = False,
    say: Progress = silent,
) -> Replayed:
    """Publish again the letters that are events for the code of now, each once.

    Args:
        params: whose letters.
        reason: only those that were refused for this.
        places: only these.
        dry_run: say what would be done.
        say: told how far it is, in Spanish.

    Raises:
        ParamsError: there is no such reason.
        InputError: at a place there is no letter.
        IntegrityError: the log has other records at the letters' places.
        ServiceError: a service does not answer.
    """
    with state.locked(f"dead-letters-{params.kafka.topic}"):
        seen: set[Place] = set()
        events: dict[Place, int] = {}
        still: dict[str, int] = {}
        for page in _pages(params, reason, places):
            for place, value, kind, why in _judged(page, params.windows):
                seen.add(place)
                if kind == Kind.EVENT:
                    events[place] = hash(value)
                else:
                    still[why or kind] = still.get(why or kind, 0) + 1
        for place in places:
            if place not in seen:
                find(params, place)  # raises: there is none, or of another reason
        if events:
            say(
                f"{number(len(events))} cartas son eventos ahora; se busca en el tema cuáles ya "
                "volvieron"
            )
        originals, already = _in_log(params, events)
        wanted = events.keys() - already
        if not dry_run and wanted:
            _publish(params, reason, places, wanted, originals)
        done = len(events) - len(wanted)
        return Replayed(len(seen), len(wanted), done, still, dry_run)


def _judged(
    page: pl.DataFrame, windows: Windows
) -> Iterator[tuple[Place, bytes | None, str, str | None]]:
    """Yield place, value, kind and reason of each letter as if it were appended now."""
    batch = page.select(
        "partition", "offset", pl.lit(datetime.now(UTC)).alias("append_time"), "value"
    )
    decoded = decode(batch, Ahead.of(windows))
    for partition, offset, value, kind, why in decoded.select(
        "partition", "offset", "value", "kind", "reason"
    ).iter_rows():
        yield (partition, offset), value, kind, why


def _in_log(
    params: Params, events: dict[Place, int]
) -> tuple[dict[Place, tuple[bytes | None, Headers]], set[Place]]:
    """Return key and headers of the letters' own records, and which letters are back already."""
    first: dict[int, int] = {}
    for partition, offset in events:
        first[partition] = min(offset, first.get(partition, offset))
    originals: dict[Place, tuple[bytes | None, Headers]] = {}
    already: set[Place] = set()
    for records in kafka.read(params, first):
        for partition, offset, message in records:
            place = partition, offset
            headers = _headers(message)
            already.update(_origins(params.kafka, headers))
            if place not in events:
                continue
            if hash(message.value()) != events[place]:
                raise IntegrityError(
                    f"El registro {place_text(place)} del tema {params.kafka.topic} no es el de su "
                    f"carta: el tema se creó de nuevo después de llenar {params.bigquery.dataset}."
                )
            kept = [h for h in headers if h[0] not in (ORIGIN_HEADER, REASON_HEADER)]
            originals[place] = message.key(), kept
    return originals, already & events.keys()


def _headers(message: Message) -> Headers:
    return cast(Headers, message.headers() or ())


def _origins(kafka_params: Kafka, headers: Headers) -> Iterator[Place]:
    for name, value in headers:
        if name == ORIGIN_HEADER and value is not None:
            of_topic, partition, offset = value.decode().rsplit(":", 2)
            if of_topic == kafka_params.topic:
                yield int(partition), int(offset)


def _publish(
    params: Params,
    reason: str | None,
    places: Collection[Place],
    wanted: Collection[Place],
    originals: dict[Place, tuple[bytes | None, Headers]],
) -> None:
    with kafka.Publisher(params) as publisher:
        for page in _pages(params, reason, places):
            for letter in (Letter(*row) for row in page.iter_rows()):
                place = letter.partition, letter.offset
                if place not in wanted:
                    continue
                # The topic may have let go of the record; by contract the key is the track.
                key, headers = originals.get(place) or (_track(letter.value), ())
                origin = f"{params.kafka.topic}:{place_text(place)}".encode()
                told = ((ORIGIN_HEADER, origin), (REASON_HEADER, letter.reason.encode()))
                publisher.send_with_headers(letter.partition, key, letter.value, (*headers, *told))


def _track(value: bytes | None) -> bytes:
    return str(msgspec.json.decode(value or b"")["track_id"]).encode()


def _pages(
    params: Params, reason: str | None = None, places: Collection[Place] = ()
) -> Iterator[pl.DataFrame]:
    """Yield letters in the order of the log, some at a time, with the columns of `Letter`."""
    after: Place = (-1, -1)
    among = log.where(places) if places else "TRUE"
    while True:
        page = _query(
            params,
            f"SELECT {_COLUMNS} FROM {{dataset}}.spotify_dead_letters WHERE {{where}} "
            f"AND {among} AND (log_partition > {after[0]} OR {log.where([after], '>')}) "
            f"ORDER BY 1, 2 LIMIT {_PAGE}",
            reason,
        )
        if page.height:
            yield page
        if page.height < _PAGE:
            return
        after = page["partition"][-1], page["offset"][-1]


def _query(params: Params, sql: str, reason: str | None) -> pl.DataFrame:
    given = {"topic": params.kafka.topic}
    where = "topic = @topic"
    if reason is not None:
        if reason not in tuple(Reason):
            raise ParamsError(f"No hay ningún motivo «{reason}». Los hay: {', '.join(Reason)}.")
        where += " AND reason = @reason"
        given["reason"] = reason
    try:
        return bigquery.query(params, sql.replace("{where}", where), **given)
    except NotFound as error:
        raise InputError(
            f"El dataset {params.bigquery.dataset} no tiene cartas muertas: el tema "
            f"{params.kafka.topic} no se ha procesado todavía («spotify-mlops stream»)."
        ) from error


def place_text(place: Place) -> str:
    """Write a place as the commands do: ``partition:offset``."""
    return f"{place[0]}:{place[1]}"


def readable(value: bytes | None, *, whole: bool) -> str:
    """Show a record on a terminal: JSON indented when ``whole``, what cannot be shown escaped."""
    if value is None:
        return ""
    if whole:
        # What is not JSON is shown as it is; that may be why it is a letter.
        with suppress(msgspec.DecodeError, RecursionError):
            value = msgspec.json.format(value, indent=2)
    text = value.decode("utf-8", "backslashreplace")
    keep = "\n" if whole else ""
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text
    )
