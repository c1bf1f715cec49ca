"""Listening histories in every generation, as events: one listen is one event.

Read are Spotify's extended history and account data, ListenBrainz, Last.fm, and saved answers of
the Web API; as JSON or CSV, alone, in the folder or in the zip of an export.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from itertools import chain
from pathlib import Path

import polars as pl

from ...config.errors import InputError
from ...config.params import Params
from ...config.progress import Progress, silent
from ...config.sections import Sources
from ...domain.events import COUNTRIES
from ...domain.events.schema import UTC_MICROSECONDS
from ..account import Account, FileAccount
from ..ahead import ahead
from ..files import NotRead, Part, expand
from ..found import Found, as_columns
from ..tables import BadRow
from .csv_files import find_columns, read_csv_entries
from .entries import Batch, read_entries
from .extended import ordinary_streams
from .generations import GENERATIONS, Listen, generation_of, leaves, listen, listen_name

__all__ = ["SOURCE", "find_columns", "read", "read_parts"]

SOURCE = "history"
_SHOWN = 20
_FORMATS = (
    "Se leen el historial ampliado de Spotify, sus datos de cuenta, ListenBrainz, Last.fm y "
    "respuestas guardadas de la Web API, en JSON o CSV."
)
_ROWS: dict[str, pl.DataType | type[pl.DataType]] = {
    "_where": pl.String, "event_time": UTC_MICROSECONDS, "track_id": pl.String,
    "track_name": pl.String, "artist_name": pl.String, "album_name": pl.String,
    "event_type": pl.String, "country": pl.String, "popularity": pl.Int64, "_mark": pl.String,
}  # fmt: skip

Read = tuple[Batch, list[BadRow], int]
"""Entries, rows that are none, and how many are blank."""


def read(params: Params, arguments: Sequence[str | Path], say: Progress = silent) -> Found:
    """Read history files, folders or zips; ``PATH=CC`` is the country of entries that say none.

    Of a folder or a zip the files of history are taken, and of the others it is told why they are
    not. The frames are read as they are asked for; what is wrong with a file is raised there.

    Raises:
        InputError: a path does not exist, or nothing in it is a history.
    """
    return read_parts(*expand(arguments), params)


def read_parts(parts: Sequence[Part], not_read: list[NotRead], params: Params) -> Found:
    """Read history files."""
    account = Account(not_read=not_read)
    opened = ((part, _open(part, not_read)) for part in parts)
    files = [(part, batches) for part, batches in opened if batches is not None]
    if not files:
        names = "; ".join(item.reason.rstrip(".") for item in not_read[:_SHOWN])
        raise InputError(f"No hay ningún historial que leer: {names or 'no hay archivos'}.")
    return Found(_frames(files, account, params.sources), account)


def _frames(
    files: Sequence[tuple[Part, Iterator[Read]]], account: Account, sources: Sources
) -> Iterator[pl.DataFrame]:
    for part, batches in files:
        file = account.begin(part.name)
        reader = _Reader(part, file, sources)
        for batch, bad, blank in ahead(batches):
            frame = reader.events(batch, bad, blank)
            if frame.height:
                yield frame
        file.what = reader.what()
        if file.left_out["no_country"]:
            account.notes.append(
                f"{part.name} tiene entradas que no dicen el país. Si sabes de cuál son, dilo así: "
                f"{part.path.name}=CO."
            )


def _open(part: Part, not_read: list[NotRead]) -> Iterator[Read] | None:
    """Return what reads a file; None for another of a folder or a zip, which is told.

    Raises:
        InputError: it is no history, and the user named it, or its name says that it is one.
    """
    try:
        batches = _batches(part)
        first = next(batches, None)
        if first is None:
            raise InputError(f"{part.name} no tiene ninguna entrada.")
        _check(part, first)
    except InputError as error:
        if not part.wrapped or part.base.lower().startswith(_OWN_NAMES):
            raise
        not_read.append(NotRead(part.name, str(error)))
        return None
    # Of many files only the beginnings were read: each is read again when its turn comes.
    batches.close()
    return _batches(part)


_OWN_NAMES = ("endsong", "streaming_history", "streaminghistory", "recenttracks")
"""Files that are of history, whatever is in them: what is wrong with one is not passed over."""


def _batches(part: Part) -> Generator[Read, None, None]:
    head = part.head().lstrip()
    if head and head[:1] not in (b"[", b"{"):
        header = find_columns(head)
        if header is not None:
            yield from read_csv_entries(part, header)
            return
        if part.base.lower().endswith((".csv", ".tsv")):
            raise InputError(
                f"{part.name}: es un CSV que no es de un historial conocido. {_FORMATS} "
                "Una lista se publica con «ingest charts»."
            )
    for batch in read_entries(part):
        yield batch, [], 0


def _check(part: Part, read: Read) -> None:
    batch, _, _ = read
    found = list(chain.from_iterable(leaves(entry) for entry in batch.entries[:100]))
    if found and all(leaf is None or generation_of(leaf) is None for leaf in found):
        raise InputError(
            f"{part.name}, {batch.unit} {batch.numbers[0]}: no es una reproducción. {_FORMATS}"
        )


def _in_columns(batch: Batch, streams: pl.DataFrame) -> pl.DataFrame:
    """Return ordinary streams as the rows that others are."""
    numbers = pl.Series(batch.numbers, dtype=pl.Int64).gather(streams["_row"])
    frame = streams.with_columns(
        pl.format(batch.unit + " {}", numbers.alias("number")).alias("_where"),
        popularity=pl.lit(None, pl.Int64),
        _mark=pl.lit(""),
    )
    return frame.select(pl.col(name).cast(kind) for name, kind in _ROWS.items())


class _Reader:
    """Reads the entries of one file as events."""

    def __init__(self, part: Part, file: FileAccount, sources: Sources) -> None:
        self._part = part
        self._file = file
        self._refuses = sources.bad_rows == "refuse"
        self._generations: Counter[str] = Counter()

    def what(self) -> str:
        """Return what the file was recognised as (Spanish)."""
        names = sorted(self._generations, key=lambda name: (-self._generations[name], name))
        return " y ".join(names)

    def events(self, batch: Batch, bad: list[BadRow], blank: int) -> pl.DataFrame:
        """Return the events of some entries, and account for the others."""
        rows: list[tuple[object, ...]] = []
        self._file.rows += blank
        self._file.leave_out("blank", blank)
        for broken in bad:
            self._file.rows += 1
            self._unreadable(f"línea {broken.line}", broken.reason)
        ordinary = ordinary_streams(batch.entries)
        self._file.rows += ordinary.height
        if ordinary.height:
            self._generations[GENERATIONS[0].name] += ordinary.height
        others = set(range(len(batch.entries))).difference(ordinary["_row"].to_list())
        for at in sorted(others):
            number, entry = batch.numbers[at], batch.entries[at]
            for place, leaf in enumerate(leaves(entry), 1):
                self._file.rows += 1
                where = f"{batch.unit} {number if leaf is entry else place}"
                found = self._listen(leaf)
                row = self._row(where, found)
                if row is not None:
                    rows.append(row)
        frame = pl.concat([_in_columns(batch, ordinary), pl.DataFrame(rows, _ROWS, orient="row")])
        name = pl.concat_str(listen_name(), "_mark")
        return as_columns(frame.with_columns(event_id=name).drop("_mark"), SOURCE)

    def _listen(self, leaf: object) -> Listen:
        generation = None if leaf is None else generation_of(leaf)
        if generation is None:
            return Listen("unreadable", "no es una reproducción")
        self._generations[generation.name] += 1
        return listen(leaf, generation)

    def _row(self, where: str, found: Listen) -> tuple[object, ...] | None:
        if found.reason == "unreadable":
            self._unreadable(where, found.told)
            return None
        if found.reason is not None:
            self._file.leave_out(found.reason)
            return None
        code = found.country.upper() if found.country else None
        if code not in COUNTRIES:
            code = self._part.country
        if code is None:
            self._file.leave_out("no_country")
            self._file.codes[found.country or ""] += 1
            return None
        return (
            where, found.time, found.track, found.title, found.artist, found.album,
            found.event_type, code, found.popularity, found.mark,
        )  # fmt: skip

    def _unreadable(self, where: str, reason: str) -> None:
        if self._refuses:
            raise InputError(f"{self._part.name}, {where}: {reason}. {_FORMATS}")
        self._file.leave_out("unreadable", 1, [f"{where}: {reason}"])
