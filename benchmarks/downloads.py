"""Files like those that people download, of any size, without a real song in them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

TRACKS = 60_000
"""In the catalogue that charts and listeners draw from."""
RANKS = 200
ENTRIES_A_FILE = 16_000
"""An export has files of some megabytes, each with about so many entries."""
_FIRST_WEEK = date(2017, 1, 6)
_FIRST_LISTEN = datetime(2016, 3, 1, tzinfo=UTC)
_ALPHABET = np.frombuffer(
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", np.uint8
)
_REGIONS = (
    "Argentina", "Australia", "Austria", "Belgium", "Bolivia", "Brazil", "Bulgaria", "Canada",
    "Chile", "Colombia", "Costa Rica", "Czech Republic", "Denmark", "Dominican Republic",
    "Ecuador", "El Salvador", "Estonia", "Finland", "France", "Germany", "Global", "Greece",
    "Guatemala", "Honduras", "Hong Kong", "Hungary", "Iceland", "India", "Indonesia", "Ireland",
    "Israel", "Italy", "Japan", "Latvia", "Lithuania", "Luxembourg", "Malaysia", "Mexico",
    "Morocco", "Netherlands", "New Zealand", "Nicaragua", "Norway", "Panama", "Paraguay", "Peru",
    "Philippines", "Poland", "Portugal", "Romania", "Russia", "Saudi Arabia", "Singapore",
    "Slovakia", "South Africa", "South Korea", "Spain", "Sweden", "Switzerland", "Taiwan",
    "Thailand", "Turkey", "Ukraine", "United Arab Emirates", "United Kingdom", "United States",
    "Uruguay", "Vietnam",
)  # fmt: skip


def all_regions(path: Path, rows: int) -> None:
    """Write weekly charts of all regions in one file, the world's among them, week after week."""
    random = np.random.default_rng(17)
    catalogue = _catalogue(random)
    week = len(_REGIONS) * RANKS
    region = np.repeat(np.arange(len(_REGIONS)), RANKS)
    rank = np.tile(np.arange(1, RANKS + 1), len(_REGIONS))
    # Of a region's chart most songs stay for many weeks, and others have charts of their own.
    offset = region * (TRACKS // (2 * len(_REGIONS)))
    with path.open("wb") as file:
        for number, first in enumerate(range(0, rows, week)):
            track = (offset + number * 9 + rank * 7 + (random.random(week) < 0.1)) % TRACKS
            frame = catalogue[track].select(
                "title",
                pl.Series("rank", rank),
                pl.lit(str(_FIRST_WEEK + timedelta(weeks=number))).alias("date"),
                "artist",
                pl.format("https://open.spotify.com/track/{}", "id").alias("url"),
                pl.Series("region", np.array(_REGIONS)[region]),
                pl.lit("top200").alias("chart"),
                pl.lit("SAME_POSITION").alias("trend"),
                pl.Series("streams", (9e6 / rank**0.7 * random.uniform(0.8, 1, week)).astype(int)),
            )
            frame.head(rows - first).write_csv(file, include_header=first == 0)


def extended_history(folder: Path, entries: int) -> None:
    """Write an export of Spotify's extended history: every 50th entry is of no song."""
    random = np.random.default_rng(17)
    catalogue = _catalogue(random).to_dicts()
    folder.mkdir(parents=True, exist_ok=True)
    listened = _listens(random, catalogue, entries)
    for number, first in enumerate(range(0, entries, ENTRIES_A_FILE)):
        some = [next(listened) for _ in range(min(ENTRIES_A_FILE, entries - first))]
        path = folder / f"Streaming_History_Audio_{2016 + number // 4}_{number}.json"
        path.write_bytes(msgspec.json.format(msgspec.json.encode(some), indent=2))


def _catalogue(random: np.random.Generator) -> pl.DataFrame:
    identifiers = _ALPHABET[random.integers(0, len(_ALPHABET), (TRACKS, 22))]
    number = pl.int_range(TRACKS, eager=True)
    return pl.DataFrame({"id": [row.tobytes().decode() for row in identifiers]}).with_columns(
        # As in the real ones, some have a comma, so that they are quoted.
        title=pl.when(number % 5 == 0)
        .then(pl.format("Canción ficticia {} (feat. Otro, Más)", number))
        .otherwise(pl.format("Canción ficticia {}", number)),
        artist=pl.when(number % 4 == 0)
        .then(pl.format("Artista inventado {}, Invitado {}", number // 9, number % 9))
        .otherwise(pl.format("Artista inventado {}", number // 9)),
    )


def _listens(
    random: np.random.Generator, catalogue: list[dict[str, str]], entries: int
) -> Iterator[dict[str, object]]:
    track = (len(catalogue) * random.random(entries) ** 3).astype(int)
    played = random.integers(1_000, 260_000, entries)
    pause = np.cumsum(random.integers(60, 900, entries))
    for row in range(entries):
        song = catalogue[track[row]] if row % 50 else None
        done = bool(played[row] > 120_000)
        yield {
            "ts": f"{_FIRST_LISTEN + timedelta(seconds=int(pause[row])):%Y-%m-%dT%H:%M:%SZ}",
            "platform": "android",
            "ms_played": int(played[row]),
            "conn_country": "CO",
            "ip_addr": "",
            "master_metadata_track_name": song and song["title"],
            "master_metadata_album_artist_name": song and song["artist"],
            "master_metadata_album_album_name": song and f"Álbum de {song['title']}",
            "spotify_track_uri": song and f"spotify:track:{song['id']}",
            "episode_name": None if song else "Un episodio",
            "episode_show_name": None if song else "Un pódcast",
            "spotify_episode_uri": None if song else "spotify:episode:4rOoJ6Egrf8K2IrywzwOMk",
            "audiobook_title": None,
            "audiobook_uri": None,
            "audiobook_chapter_uri": None,
            "audiobook_chapter_title": None,
            "reason_start": "clickrow",
            "reason_end": "trackdone" if done else "fwdbtn",
            "shuffle": True,
            "skipped": not done,
            "offline": False,
            "offline_timestamp": None,
            "incognito_mode": False,
        }
