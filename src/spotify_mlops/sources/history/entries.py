"""The entries of a JSON file, some megabytes at a time: an array, one object a line, or one object.

What is not JSON is told with its true line and in words: cut off, a comma too many.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from ...config import untrusted
from ...config.errors import InputError
from ..files import BLOCK, Part, not_utf8

_LARGEST_ENTRY = 4 * BLOCK
"""An array with a larger one is read whole."""
UNIT_ENTRY, UNIT_LINE = "entrada", "línea"
_FIELDS = (
    # Spotify's extended history
    "ts", "ms_played", "conn_country", "master_metadata_track_name",
    "master_metadata_album_artist_name", "master_metadata_album_album_name", "spotify_track_uri",
    "episode_name", "spotify_episode_uri", "audiobook_uri", "audiobook_title",
    "audiobook_chapter_uri", "reason_end", "skipped",
    # Its account data
    "endTime", "artistName", "trackName", "msPlayed", "podcastName", "episodeName",
    "audiobookName", "chapterName",
    # Answers of its Web API
    "played_at", "added_at", "track", "item", "is_local", "items", "tracks",
    # ListenBrainz
    "listened_at", "timestamp", "track_metadata", "recording_msid", "payload", "listens",
    # Last.fm
    "recenttracks", "artist", "name", "album", "date", "attr",
)  # fmt: skip
Entry: Any = msgspec.defstruct(
    "Entry", [(name, Any, None) for name in _FIELDS], rename={"attr": "@attr"}, gc=False
)
"""An entry, or what holds some: what is asked of any generation, of whatever type it comes."""

_decode_entries = msgspec.json.Decoder(list[Entry]).decode
_decode_entry = msgspec.json.Decoder(Entry).decode
_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_BYTE = re.compile(r"\(byte (\d+)\)")
_WORDS = (
    ("truncated", "está cortado: acaba a medias"),
    ("trailing comma", "sobra una coma"),
    ("trailing characters", "sigue algo después del final"),
    ("invalid character", "hay un carácter que no puede ir ahí"),
    ("invalid number", "hay un número mal escrito"),
    ("invalid escape", "hay una barra inversa mal puesta"),
    ("expected ',' or ']'", "falta una coma o un corchete"),
    ("expected ',' or '}'", "falta una coma o una llave"),
    ("expected ':'", "faltan dos puntos"),
    ("object keys must be strings", "falta el nombre de un campo"),
    ("surrogate", "hay un carácter a medias"),
)
_OPEN, _CLOSE = (ord("{"), ord("[")), (ord("}"), ord("]"))


@dataclass(frozen=True)
class Batch:
    """Some entries; None is what is no object."""

    entries: list[Any]
    numbers: Sequence[int]
    """Of each, from 1."""
    unit: str


def entry_of(content: object) -> Any:
    """Return an object that was decoded inside of another as an entry; None for what is none."""
    if not isinstance(content, dict):
        return None
    return Entry(**{name: content[_key(name)] for name in _FIELDS if _key(name) in content})


def _key(name: str) -> str:
    return "@attr" if name == "attr" else name


def read_entries(part: Part) -> Iterator[Batch]:
    """Yield the entries of a JSON file.

    Raises:
        InputError: it cannot be read, is empty or is not JSON.
    """
    blocks = part.blocks(BLOCK)
    head = next(blocks, b"")
    while head and not head.strip():
        head = next(blocks, b"")
    start = head.lstrip()[:1]
    if not start:
        raise InputError(f"{part.name} está vacío.")
    text = _Text(part, head, blocks)
    if start == b"[":
        yield from _array(text)
    elif start == b"{" and _first_line_is_whole(head):
        yield from _lines(text)
    elif start == b"{":
        yield from _single(text)
    else:
        text.more(everything=True)
        try:
            msgspec.json.decode(text.buffer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise text.refused(error) from error
        raise text.error("no es un objeto ni una lista", 0)


class _Text:
    """The text of a file, of which the beginning is dropped as it is understood."""

    def __init__(self, part: Part, head: bytes, blocks: Iterator[bytes]) -> None:
        self.part = part
        self.buffer = head
        self.ended = False
        self._blocks = blocks
        self._line = 1
        self._position = 0

    def more(self, *, everything: bool = False) -> bool:
        """Read on; False at the end."""
        pieces = [self.buffer]
        size = len(self.buffer)
        for block in self._blocks:
            pieces.append(block)
            size += len(block)
            if size > untrusted.JSON_BYTES:
                raise InputError(
                    f"{self.part.name}: una sola pieza de JSON ocupa más de "
                    f"{untrusted.JSON_BYTES >> 20} MiB."
                )
            if not everything:
                break
        else:
            self.ended = True
        self.buffer = b"".join(pieces)
        return len(pieces) > 1

    def drop(self, count: int) -> None:
        """Go on after so many bytes."""
        self._line += self.buffer.count(b"\n", 0, count)
        self._position += count
        self.buffer = self.buffer[count:]

    def error(self, reason: str, at: int | None = None) -> InputError:
        """Return what is wrong, at a byte of the buffer or at its end."""
        before = self.buffer.rstrip() if at is None else self.buffer[: max(at, 0)]
        line = self._line + before.count(b"\n")
        return InputError(f"{self.part.name}, línea {line}: no es JSON ({reason}).")

    def refused(self, error: Exception, shift: int = 0) -> InputError:
        """Return what a decoder has against the buffer; ``shift`` bytes were put before it."""
        if isinstance(error, RecursionError):
            return InputError(f"{self.part.name}: no es un historial (anida demasiados niveles).")
        if isinstance(error, UnicodeDecodeError):
            found = not_utf8(self.part, self.buffer, self._line, self._position)
            return found or self.error("no está en UTF-8")
        byte = _BYTE.search(str(error))
        return self.error(_reason(error), int(byte[1]) - shift if byte else None)


def _array(text: _Text) -> Iterator[Batch]:
    text.drop(text.buffer.index(b"[") + 1)
    number = 1
    while not text.ended:
        if len(text.buffer) > _LARGEST_ENTRY:
            text.more(everything=True)
            break
        cut, entries = _whole_entries(text.buffer)
        if entries:
            yield Batch(entries, range(number, number + len(entries)), UNIT_ENTRY)
            number += len(entries)
            text.drop(text.buffer.index(b",", cut) + 1)
        text.more()
    if number > 1 and text.buffer.strip()[:1] == b"]":
        raise text.error("sobra una coma", 0)
    try:
        entries = _entries(b"[" + text.buffer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise text.refused(error, 1) from error
    if entries:
        yield Batch(entries, range(number, number + len(entries)), UNIT_ENTRY)


def _whole_entries(buffer: bytes) -> tuple[int, list[Any] | None]:
    """Return how far a buffer is whole entries that a comma follows, and the entries."""
    cut = buffer.rfind(b"},") + 1
    entries = _decoded(buffer, cut) if cut else None
    if entries is None and cut:  # the brace is of something inside an entry
        cut = _last_comma(buffer)
        entries = _decoded(buffer, cut) if cut else None
    return cut, entries


def _decoded(buffer: bytes, cut: int) -> list[Any] | None:
    """Return the entries of the inside of an array to ``cut``; None if it is not whole entries."""
    try:
        return _entries(b"".join((b"[", memoryview(buffer)[:cut], b"]")))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _entries(content: bytes) -> list[Any]:
    try:
        entries: list[Any] = _decode_entries(content)
        return entries
    except msgspec.ValidationError:
        return [_entry(raw) for raw in _decode_raws(content)]


def _entry(raw: msgspec.Raw | bytes) -> Any:
    try:
        return _decode_entry(raw)
    except msgspec.ValidationError:  # a number out of all range, or no object
        return None


def _last_comma(content: bytes) -> int:
    """Return where the last comma between entries is, before which all is whole; 0 for none."""
    plain = content.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    text = np.frombuffer(plain, np.uint8)
    outside = np.cumsum(text == ord('"')) % 2 == 0
    depth = np.cumsum(
        np.where(outside, np.isin(text, _OPEN).astype(np.int32) - np.isin(text, _CLOSE), 0)
    )
    commas = np.flatnonzero((text == ord(",")) & outside & (depth == 0))
    return int(commas[-1]) if commas.size else 0


def _lines(text: _Text) -> Iterator[Batch]:
    first = 1
    while text.buffer or text.more():
        end = text.buffer.rfind(b"\n") + 1
        if not end:
            if text.more():
                continue
            end = len(text.buffer)
        lines = list(enumerate(text.buffer[:end].split(b"\n"), first))
        filled = [(number, line) for number, line in lines if line.strip()]
        entries = [_line(text, line, number) for number, line in filled]
        if entries:
            yield Batch(entries, [number for number, _ in filled], UNIT_LINE)
        first = lines[-1][0]
        text.drop(end)


def _line(text: _Text, line: bytes, number: int) -> Any:
    try:
        return _entry(line) if line.lstrip()[:1] == b"{" else _no_entry(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(
            f"{text.part.name}, línea {number}: no es JSON ({_reason(error)})."
        ) from error


def _no_entry(line: bytes) -> None:
    msgspec.json.decode(line)


def _single(text: _Text) -> Iterator[Batch]:
    text.more(everything=True)
    try:
        yield Batch([_decode_entry(text.buffer)], [1], UNIT_ENTRY)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise text.refused(error) from error


def _first_line_is_whole(head: bytes) -> bool:
    first, _, rest = head.lstrip().partition(b"\n")
    try:
        msgspec.json.decode(first)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return bool(rest.strip())


def _reason(error: Exception) -> str:
    """Return in words (Spanish) what a decoder has against a text."""
    if isinstance(error, RecursionError):
        return "anida demasiados niveles"
    if isinstance(error, UnicodeDecodeError):
        return "no está en UTF-8"
    text = _BYTE.sub("", str(error)).removeprefix("JSON is malformed: ").strip()
    return next((words for sign, words in _WORDS if sign in text), text).replace(
        "expected", "se esperaba"
    )
