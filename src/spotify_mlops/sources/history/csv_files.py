"""Histories that somebody turned into CSV, as the entries that they were."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import Any

from ..files import Part
from ..tables import BadRow, Header, find_header, read_rows
from .entries import UNIT_LINE, Batch, Entry

Columns = dict[int, str]
"""By position, the field of an entry that a column is."""

_SHAPES: tuple[tuple[tuple[frozenset[str], ...], dict[str, str]], ...] = (
    (  # Spotify's extended history (pandas, Kaggle)
        (frozenset({"ts", "spotifytrackuri"}), frozenset({"ts", "mastermetadatatrackname"})),
        {
            "ts": "ts", "msplayed": "ms_played", "conncountry": "conn_country",
            "country": "conn_country", "mastermetadatatrackname": "master_metadata_track_name",
            "trackname": "master_metadata_track_name",
            "mastermetadataalbumartistname": "master_metadata_album_artist_name",
            "artistname": "master_metadata_album_artist_name",
            "mastermetadataalbumalbumname": "master_metadata_album_album_name",
            "albumname": "master_metadata_album_album_name",
            "spotifytrackuri": "spotify_track_uri", "episodename": "episode_name",
            "spotifyepisodeuri": "spotify_episode_uri", "audiobookuri": "audiobook_uri",
            "audiobooktitle": "audiobook_title", "reasonend": "reason_end", "skipped": "skipped",
        },
    ),
    (  # Spotify's account data
        (frozenset({"endtime", "artistname", "trackname"}),),
        {"endtime": "endTime", "artistname": "artistName", "trackname": "trackName",
         "msplayed": "msPlayed"},
    ),
    (  # Last.fm (lastfm.ghan.nl and its like)
        (frozenset({"uts", "artist", "track"}), frozenset({"utctime", "artist", "track"})),
        {"uts": "date", "utctime": "date", "artist": "artist", "track": "name", "album": "album"},
    ),
)  # fmt: skip
_NO_HEADER = ("artist", "album", "name", "date")
"""Last.fm by benjaminbenben's lastfm-to-csv: four columns without names."""
_DATE = re.compile(r"\d{1,2} \w{3} \d{4},? \d{1,2}:\d{2}", re.ASCII)


def find_columns(head: bytes) -> Header[Columns] | None:
    """Return the header of a history in CSV, or None for another file."""
    found = find_header(head, _recognise)
    if found is not None:
        return found
    first = head.decode(errors="replace").split("\n")[0].strip()
    try:
        fields = next(csv.reader([first]), [])
    except csv.Error:
        return None
    if len(fields) == len(_NO_HEADER) and _DATE.fullmatch(fields[-1]):
        return Header(list(_NO_HEADER), ",", 0, dict(enumerate(_NO_HEADER)))
    return None


def _recognise(names: list[str]) -> Columns | None:
    for needs, fields in _SHAPES:
        if any(need <= set(names) for need in needs):
            columns: Columns = {}
            for place, name in enumerate(names):
                field = fields.get(name)
                if field is not None and field not in columns.values():
                    columns[place] = field
            return columns
    return None


def read_csv_entries(
    part: Part, header: Header[Columns]
) -> Iterator[tuple[Batch, list[BadRow], int]]:
    """Yield entries, with the rows that are none and how many blank ones there were.

    Raises:
        InputError: the file is not UTF-8, or its quotes are never closed.
    """
    fields = header.shape
    for rows in read_rows(part, header, list(fields)):
        columns = [rows.frame[str(place)].to_list() for place in fields]
        entries: list[Any] = [
            Entry(**dict(zip(fields.values(), row, strict=True)))
            for row in zip(*columns, strict=True)
        ]
        yield Batch(entries, rows.frame["_line"].to_list(), UNIT_LINE), rows.bad, rows.blank
