"""Listening histories as events."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from spotify_mlops.config import params
from spotify_mlops.config.errors import InputError
from spotify_mlops.domain.events import EVENT_COLUMNS
from spotify_mlops.sources import history

ROOT = Path(__file__).resolve().parents[3]
REAL = ROOT.parent / "shared" / "data" / "history_exports"
LISTENS = {
    "listenbrainz_listens.jsonl": 2,
    "spotify_recently_played_submitted.json": 1,
    "spotify_skipped_tracks.json": 15,
    "spotify_streaming_2023.json": 5,
    "spotify_streaming_endsong_0.json": 5,
}


def read(argument: str | Path) -> tuple[pl.DataFrame, int]:
    found = history.read(params.load("local"), [argument])
    (events,) = found.frames
    return events, found.told["without_track"]


def stream(**changes: object) -> dict[str, object]:
    return {
        "ts": "2024-04-20T18:15:22Z",
        "ms_played": 200_000,
        "conn_country": "CO",
        "master_metadata_track_name": "N",
        "master_metadata_album_artist_name": "A",
        "master_metadata_album_album_name": "L",
        "spotify_track_uri": "spotify:track:abc",
        "skipped": None,
        "username": "secret",
    } | changes


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_streams_become_plays_and_skips_in_event_time_order(tmp_path: Path) -> None:
    path = write(
        tmp_path / "endsong_0.json",
        [
            stream(),
            stream(ts="2023-01-01T00:00:00Z", ms_played=1000),
            stream(spotify_track_uri=None),
        ],
    )
    events, without_track = read(path)
    assert without_track == 1
    assert events.schema == pl.Schema(EVENT_COLUMNS)
    assert events["event_type"].to_list() == ["skip", "play"]
    assert events["event_time"][0] == datetime(2023, 1, 1, tzinfo=UTC)
    assert events.drop("event_id", "event_time", "event_type").unique().row(0, named=True) == {
        "country": "CO",
        "track_id": "abc",
        "track_name": "N",
        "artist_name": "A",
        "count": 1,
        "source": "history",
        "popularity": None,
        "artist_id": None,
        "album_name": "L",
        "release_date": None,
    }  # nothing of the listener


def test_the_country_is_said_or_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "h.json", [stream(conn_country="")])
    with pytest.raises(InputError, match=r"entrada 1: no dice el país.*h\.json=CO"):
        read(path)
    assert read(f"{path}=MX")[0]["country"].to_list() == ["MX"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "vacío"),
        ("{", "línea 1: no es JSON"),
        ("3", "se esperaba una lista"),
        ('[{"a": 1}]', "entrada 1: no es una reproducción"),
        ('[{"ts": "ayer", "ms_played": 1}]', "entrada 1: no se entiende"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "h.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read(path)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real exports are not on this machine")
def test_every_published_format_is_read() -> None:
    for path in sorted(REAL.iterdir()):
        events, _ = read(f"{path}=CO")
        assert events.height == LISTENS[path.name]
        assert events["event_time"].is_sorted()
        assert not events["track_id"].str.contains(":track:").any()
