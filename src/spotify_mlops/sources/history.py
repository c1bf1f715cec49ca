"""A listener's own history as events: Spotify's extended exports and ListenBrainz's.

Read are ``endsong_*.json`` and ``Streaming_History_Audio_*.json`` (arrays of streams), saved
answers of *recently played* (``items``), and ListenBrainz listens (one JSON object a line).
Podcasts and files without a track's identifier are left out and counted. Of a stream only track,
time, country and whether it was skipped are kept; users, addresses and devices never are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from ..config import untrusted
from ..config.errors import InputError
from ..config.params import Params
from ..config.progress import Progress, silent
from ..domain.events import COUNTRIES, EVENT_COLUMNS
from .countries import split_country
from .found import Found, as_events

SOURCE = "history"
SKIPPED_BELOW_MS = 30_000
"""Spotify counts a stream from 30 seconds on; a shorter one is a skip."""
_TRACK_PREFIXES = ("spotify:track:", "https://open.spotify.com/track/")


def read(params: Params, arguments: Sequence[str | Path], say: Progress = silent) -> Found:
    """Read history files, or ``PATH=CC``: the country of the entries that say none.

    ``without_track`` counts the podcasts and local files among them.

    Raises:
        InputError: a file is missing, empty, not JSON or of another shape, or an entry has no
            country and none was said.
    """
    rows: list[dict[str, Any]] = []
    without_track = 0
    for argument in arguments:
        path, country = split_country(str(argument))
        if not path.is_file():
            raise InputError(f"No existe el archivo {path}.")
        for number, entry in enumerate(_entries(path), 1):
            row = _row(path, number, entry, country)
            if row is None:
                without_track += 1
            else:
                rows.append(row)
    if not rows:
        raise InputError("No hay ninguna canción en los archivos dados.")
    events = pl.DataFrame(rows, {name: EVENT_COLUMNS[name] for name in rows[0]})
    events = events.sort("country", "event_id")
    return Found([as_events(events, SOURCE)], told={"without_track": without_track})


def _entries(path: Path) -> Iterator[object]:
    try:
        data = untrusted.read(path, untrusted.HISTORY_BYTES)
    except (OSError, untrusted.RefusedError) as error:
        raise InputError(f"No se puede leer {path}: {error}.") from error
    if not data.strip():
        raise InputError(f"{path} está vacío.")
    try:
        content = msgspec.json.decode(data)
    except msgspec.DecodeError:
        content = _lines(path, data)
    except RecursionError:
        raise InputError(f"{path.name}: no es un historial (anida demasiados niveles).") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} no está en UTF-8: byte {error.start}.") from error
    if isinstance(content, dict):
        content = content.get("items", [content])
    if not isinstance(content, list):
        raise InputError(f"{path.name}: se esperaba una lista de reproducciones.")
    yield from content


def _lines(path: Path, data: bytes) -> list[object]:
    entries = []
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            entries.append(msgspec.json.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InputError(f"{path.name}, línea {number}: no es JSON ({error}).") from error
    return entries


def _row(path: Path, number: int, entry: object, country: str | None) -> dict[str, Any] | None:
    """Return an event, or None for what is not a track."""
    try:
        if isinstance(entry, dict):
            if "ts" in entry:
                return _event(path, number, country, **_stream(entry))
            if "played_at" in entry:
                return _event(path, number, country, **_recent(entry))
            if "listened_at" in entry:
                return _event(path, number, country, **_listen(entry))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{path.name}, entrada {number}: no se entiende ({error!r}).") from error
    raise InputError(
        f"{path.name}, entrada {number}: no es una reproducción (falta ts, played_at o "
        "listened_at). Se leen el historial ampliado de Spotify y el de ListenBrainz."
    )


def _stream(entry: dict[str, Any]) -> dict[str, Any]:
    """Read one stream of the extended history; ``ts`` is when it ended."""
    return {
        "time": datetime.fromisoformat(entry["ts"]),
        "track": entry.get("spotify_track_uri"),
        "name": entry.get("master_metadata_track_name"),
        "artist": entry.get("master_metadata_album_artist_name"),
        "album": entry.get("master_metadata_album_album_name"),
        # Some entries lack the time played; then only the flag can say that it was skipped.
        "skipped": bool(entry.get("skipped"))
        or entry.get("ms_played", SKIPPED_BELOW_MS) < SKIPPED_BELOW_MS,
        "country": entry.get("conn_country"),
    }


def _recent(entry: dict[str, Any]) -> dict[str, Any]:
    track = entry["track"]
    return {
        "time": datetime.fromisoformat(entry["played_at"]),
        "track": track.get("uri"),
        "name": track.get("name"),
        "artist": ", ".join(artist["name"] for artist in track.get("artists", [])) or None,
        "album": (track.get("album") or {}).get("name"),
    }


def _listen(entry: dict[str, Any]) -> dict[str, Any]:
    data = entry["track_metadata"]
    info = data.get("additional_info") or {}
    mapped = (data.get("mbid_mapping") or {}).get("recording_mbid")
    recording = mapped or info.get("recording_mbid") or info.get("recording_msid")
    return {
        "time": datetime.fromtimestamp(entry["listened_at"], UTC),
        "track": info.get("spotify_id") or (f"mbid:{recording}" if recording else None),
        "name": data.get("track_name"),
        "artist": data.get("artist_name"),
        "album": data.get("release_name"),
    }


def _event(
    path: Path,
    number: int,
    said: str | None,
    *,
    time: datetime,
    track: str | None,
    name: str | None,
    artist: str | None,
    album: str | None,
    skipped: bool = False,
    country: str | None = None,
) -> dict[str, Any] | None:
    if not track:
        return None
    for prefix in _TRACK_PREFIXES:
        track = track.removeprefix(prefix)
    if track.startswith(("spotify:", "http")):
        return None  # an episode or a local file
    code = country if country in COUNTRIES else said
    if code is None:
        raise InputError(
            f"{path.name}, entrada {number}: no dice el país. Escríbalo así: {path.name}=CO."
        )
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    # The same listen exported twice is the same event, whatever file it comes in.
    digest = hashlib.sha256(f"{time.isoformat()}|{track}|{code}|{skipped}".encode()).hexdigest()
    return {
        "event_id": f"history:{digest[:20]}",
        "event_time": time.astimezone(UTC),
        "event_type": "skip" if skipped else "play",
        "country": code,
        "track_id": track,
        "track_name": name,
        "artist_name": artist,
        "album_name": album,
    }
