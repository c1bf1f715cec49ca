"""The shapes in which charts come, recognised by their header.

To add one: a line in ``SHAPES`` with the columns that tell it from the others. Names are compared
without case, spaces and signs (`tables.plain_header`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ROLES = (
    "track", "title", "artist", "streams", "popularity", "rank", "date", "region", "chart",
    "album", "released",
)  # fmt: skip
"""What a column may say of a row."""


@dataclass(frozen=True)
class Shape:
    """A shape: its name (Spanish), and the column of each role that it must have."""

    name: str
    columns: Mapping[str, str]
    viral: bool = False
    """A chart of what is shared: it counts no streams."""
    empty_region_is_world: bool = False
    daily: bool = False
    """Each of its rows is of a day, whatever the days are."""


@dataclass(frozen=True)
class Recognised:
    """A shape in a file: the position of the column of each role that is there."""

    shape: Shape
    places: Mapping[str, int]


OWN = {"Song": "title", "Artist": "artist", "Date": "date", "Song ID": "track",
       "Streams": "streams", "Rank": "rank"}  # fmt: skip
"""The columns of the project's own shape, as it writes them."""

SHAPES = (
    Shape(
        "todas las regiones",
        {"title": "title", "rank": "rank", "date": "date", "artist": "artist", "url": "track",
         "region": "region", "chart": "chart", "streams": "streams"},
    ),
    Shape(
        "todas las regiones",
        {"title": "title", "rank": "rank", "date": "date", "artist": "artist", "url": "track",
         "region": "region", "streams": "streams"},
    ),
    Shape(
        "todas las regiones",
        {"position": "rank", "trackname": "title", "artist": "artist", "streams": "streams",
         "url": "track", "date": "date", "region": "region"},
    ),
    Shape(
        "Top 200 de cada país",
        {"position": "rank", "trackname": "title", "artist": "artist", "streams": "streams",
         "date": "date", "region": "region", "spotifyid": "track"},
    ),
    Shape(
        "charts.spotify.com",
        {"rank": "rank", "uri": "track", "artistnames": "artist", "trackname": "title",
         "streams": "streams"},
    ),
    Shape(
        "charts.spotify.com, viral",
        {"rank": "rank", "uri": "track", "artistnames": "artist", "trackname": "title"},
        viral=True,
    ),
    Shape(
        "spotifycharts.com",
        {"position": "rank", "trackname": "title", "artist": "artist", "streams": "streams",
         "url": "track"},
    ),
    Shape(
        "spotifycharts.com, viral",
        {"position": "rank", "trackname": "title", "artist": "artist", "url": "track"},
        viral=True,
    ),
    Shape(
        "columnas propias",
        {"song": "title", "artist": "artist", "date": "date", "songid": "track",
         "streams": "streams", "rank": "rank"},
    ),
    Shape(
        "popularidad de cada país",
        {"spotifyid": "track", "name": "title", "artists": "artist", "dailyrank": "rank",
         "country": "region", "snapshotdate": "date", "popularity": "popularity"},
        empty_region_is_world=True, daily=True,
    ),
    Shape(
        "Top 50 con popularidad",
        {"date": "date", "position": "rank", "song": "title", "artist": "artist",
         "popularity": "popularity"},
        daily=True,
    ),
)  # fmt: skip
"""The first whose columns are all there is the one."""

_ALSO = {
    "region": "region", "country": "region", "chart": "chart", "popularity": "popularity",
    "albumname": "album", "album": "album", "albumreleasedate": "released",
    "releasedate": "released", "spotifyid": "track", "trackid": "track", "uri": "track",
    "url": "track",
}  # fmt: skip
"""What is taken besides, where a shape does not say it."""


def recognise(names: list[str]) -> Recognised | None:
    """Return the shape of a header (plain names), or None for no chart's."""
    for shape in SHAPES:
        if shape.columns.keys() <= set(names):
            places = {role: names.index(name) for name, role in shape.columns.items()}
            for name, role in _ALSO.items():
                if name in names and role not in places:
                    places[role] = names.index(name)
            return Recognised(shape, places)
    return None


def nearest(names: list[str]) -> tuple[Shape, list[str]]:
    """Return the shape that a header lacks least of, and the columns that it lacks."""
    shape = min(
        SHAPES[::-1], key=lambda one: len(one.columns.keys() - set(names)) / len(one.columns)
    )
    return shape, [name for name in shape.columns if name not in names]
