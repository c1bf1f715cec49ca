"""What names a song: one identifier, however a source writes it.

Spotify writes a track as a URI (``spotify:track:ID``), as several addresses
(``https://open.spotify.com/intl-es/track/ID?si=...``) and as the bare identifier. All of them are
the bare identifier here. A source without identifiers has artist and title: their own identifier
is made from both, the same for every source that writes them alike.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from enum import StrEnum
from functools import lru_cache

import polars as pl

_URI = re.compile(r"spotify:(?:user:[^:]*:)?(\w+):(.+)", re.IGNORECASE | re.ASCII)
_ADDRESS = re.compile(
    r"(?:https?:)?(?://)?(?:open|play|api|www)\.spotify\.com/(?:v1/)?(?:intl-[\w-]+/)?(?:embed/)?"
    r"(\w+?)s?/([^/?#\s]+)/?(?:[?#].*)?",
    re.IGNORECASE | re.ASCII,
)
_IDENTIFIER = re.compile(r"[A-Za-z0-9]+")
_USUAL_ADDRESS, _USUAL_URI = "https://open.spotify.com/track/", "spotify:track:"
_ANY_ADDRESS = re.compile(r"(?:https?:|spotify:|//)", re.IGNORECASE)
_REMEMBERED = 1 << 17
"""Answers that are kept: a listener plays few songs, many times."""
_NAMED_LETTERS = 22
"""Of the digest of a name: 88 bits, so that no two of millions of songs are one."""


class Kind(StrEnum):
    """What a reference is of."""

    TRACK = "track"
    EPISODE = "episode"
    LOCAL = "local"
    """A file of the listener's own."""
    CHAPTER = "chapter"
    """Of an audiobook."""
    NONE = "none"
    """Of no song that can be named: empty, an album, an address of somebody else."""


@lru_cache(_REMEMBERED)
def refer(text: str | None) -> tuple[Kind, str | None]:
    """Return what a reference is of, and the identifier if it is of a track.

    >>> refer("https://open.spotify.com/intl-es/track/6RjKVXi31fui9m4dbiGRrL?si=abc")
    (<Kind.TRACK: 'track'>, '6RjKVXi31fui9m4dbiGRrL')
    >>> refer("spotify:episode:4rOoJ6Egrf8K2IrywzwOMk")
    (<Kind.EPISODE: 'episode'>, None)
    """
    text = (text or "").strip()
    if not text:
        return Kind.NONE, None
    match = _URI.fullmatch(text) or _ADDRESS.fullmatch(text)
    if match is None:
        return (Kind.NONE, None) if _ANY_ADDRESS.match(text) else (Kind.TRACK, text)
    kind, identifier = match.group(1).lower(), match.group(2)
    if kind == "track":
        named = _IDENTIFIER.fullmatch(identifier)
        return (Kind.TRACK, identifier) if named else (Kind.NONE, None)
    known = {
        "episode": Kind.EPISODE,
        "show": Kind.EPISODE,
        "local": Kind.LOCAL,
        "chapter": Kind.CHAPTER,
        "audiobook": Kind.CHAPTER,
    }
    return known.get(kind, Kind.NONE), None


def spotify_track(text: object) -> str | None:
    """Return the identifier of a track that a URI or an address of Spotify names; else None."""
    if not isinstance(text, str) or not _ANY_ADDRESS.match(text.strip()):
        return None
    return refer(text)[1]


@lru_cache(_REMEMBERED)
def by_name(artist: str, title: str) -> str:
    """Return the identifier of a song that has none: of its artist and title.

    Capitals, spaces and the ways of writing an accent make no difference.

    >>> by_name("Dúo  Ficticio", "TIZA") == by_name("dúo ficticio", "Tiza ")
    True
    """
    digest = hashlib.sha256(f"{_plain(artist)}\n{_plain(title)}".encode()).hexdigest()
    return f"name:{digest[:_NAMED_LETTERS]}"


def references(texts: pl.Series) -> pl.DataFrame:
    """Return ``kind`` and ``track_id`` (null unless a track) of references, a row each."""
    # As nearly all are written, by columns; `refer` says the same of these.
    text = pl.col("text")
    address = text.str.starts_with(_USUAL_ADDRESS)
    bare = (
        pl.when(address)
        .then(text.str.strip_prefix(_USUAL_ADDRESS))
        .otherwise(text.str.strip_prefix(_USUAL_URI))
    )
    usual = pl.when(bare.str.contains(f"^{_IDENTIFIER.pattern}$")).then(bare)
    frame = texts.to_frame("text").with_columns(usual.alias("usual"))
    known = frame.filter(pl.col("usual").is_null()).select("text").unique()
    found = [refer(text) for text in known["text"].to_list()]
    known = known.with_columns(
        kind=pl.Series([kind.value for kind, _ in found], dtype=pl.String),
        track_id=pl.Series([identifier for _, identifier in found], dtype=pl.String),
    )
    joined = frame.join(known, "text", how="left", maintain_order="left", nulls_equal=True)
    return joined.select(
        pl.col("kind").fill_null(Kind.TRACK.value), track_id=pl.coalesce("usual", "track_id")
    )


def names(artists: pl.Series, titles: pl.Series) -> pl.Series:
    """Return the identifiers by name, one a row; null where artist or title is null or empty."""
    frame = pl.DataFrame({"artist": artists, "title": titles}).with_row_index("_row")
    known = frame.unique(["artist", "title"]).drop("_row").drop_nulls()
    found = [
        by_name(artist, title) if artist.strip() and title.strip() else None
        for artist, title in known.iter_rows()
    ]
    known = known.with_columns(track_id=pl.Series(found, dtype=pl.String))
    return frame.join(known, ["artist", "title"], how="left", maintain_order="left")["track_id"]


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
