"""What each generation of history says of a listen.

To add one: a function that reads an entry, in ``GENERATIONS`` with the test of what entries are
its. Of a listen only song, time, country and whether it was skipped are taken; users, addresses
and devices never are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import polars as pl

from ...domain import tracks
from .entries import entry_of

SKIPPED_BELOW_MS = 30_000
"""Spotify counts a stream from 30 seconds on; one that is cut off before is a skip."""
TIME = "%Y-%m-%dT%H:%M:%SZ"
_MONTHS = {
    name: number
    for number, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1
    )
}  # fmt: skip
_LASTFM_TIME = re.compile(r"(\d{1,2}) (\w{3})\w* (\d{4}),? (\d{1,2}):(\d{2})", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS_FROM = 10**11
"""A number of seconds so large is of the year 5138; of milliseconds, of 1973."""


class Listen(NamedTuple):
    """A listen, or why an entry is none."""

    reason: str | None
    """A code of `account.REASONS`; None for a listen."""
    told: str = ""
    """What cannot be read, where that is the reason."""
    time: datetime | None = None
    track: str | None = None
    title: str | None = None
    artist: str | None = None
    album: str | None = None
    event_type: str = "play"
    country: str | None = None
    """As the entry says it; None where it has no place for it."""
    popularity: int | None = None
    mark: str = ""
    """Part of the identity where time and song are not enough."""


def listen_name() -> pl.Expr:
    """Return the identifier of a listen: the same event whatever export or answer it comes in."""
    time = pl.col("event_time").dt.strftime(TIME)
    return pl.format("history:{}:{}:{}", time, "country", "track_id")


class Generation(NamedTuple):
    """A generation of history."""

    name: str
    """Spanish."""
    is_of: Callable[[Any], bool]
    read: Callable[[Any], Listen]


class _UnreadableError(ValueError):
    pass


def generation_of(entry: Any) -> Generation | None:
    """Return the generation that an entry is of; None for what is no listen."""
    for generation in GENERATIONS:
        if generation.is_of(entry):
            return generation
    return None


def listen(entry: Any, generation: Generation) -> Listen:
    """Read an entry."""
    try:
        return generation.read(entry)
    except _UnreadableError as error:
        return Listen("unreadable", str(error))


def leaves(entry: Any) -> Iterator[Any]:
    """Yield the entries that one holds, at whatever depth the generations put them; or itself.

    None is what is no object.
    """
    if entry is None:
        yield None
        return
    held = _held(entry)
    if held is None:
        yield entry
        return
    for item in held if isinstance(held, list) else [held]:
        yield from leaves(entry_of(item))


def _held(entry: Any) -> object:
    for name, inner in (("payload", "listens"), ("recenttracks", "track"), ("tracks", "items")):
        outer = getattr(entry, name)
        if isinstance(outer, dict) and inner in outer:
            return outer[inner]
    if isinstance(entry.items, dict):  # a playlist of the Web API since February 2026
        return entry.items.get("items")
    if entry.items is not None:
        return entry.items
    if entry.listens is not None:
        return entry.listens
    return entry.track if isinstance(entry.track, list) else None


def _stream(entry: Any) -> Listen:
    """A stream of Spotify's extended history; ``ts`` is when it ended."""
    uri = entry.spotify_track_uri
    kind, track = tracks.refer(uri) if isinstance(uri, str) else (tracks.Kind.NONE, None)
    if track is None:
        return Listen(_no_song(kind, entry))
    milliseconds = _whole(entry.ms_played)
    return Listen(
        None,
        "",
        _time(entry.ts, "ts"),
        track,
        _text(entry.master_metadata_track_name) or _text(entry.trackName),
        _text(entry.master_metadata_album_artist_name) or _text(entry.artistName),
        _text(entry.master_metadata_album_album_name) or _text(entry.album),
        _kind(milliseconds, entry.reason_end, entry.skipped),
        _text(entry.conn_country) or "",
    )


def _no_song(kind: tracks.Kind, entry: Any) -> str:
    if kind is tracks.Kind.LOCAL:
        return "local_file"
    if kind is tracks.Kind.CHAPTER or entry.audiobook_uri or entry.audiobook_title:
        return "audiobook"
    if kind is tracks.Kind.EPISODE or entry.spotify_episode_uri or entry.episode_name:
        return "podcast"
    return "no_track"


def _account_stream(entry: Any) -> Listen:
    """A stream of Spotify's account data, which has neither identifiers nor countries."""
    if entry.podcastName or entry.episodeName:
        return Listen("podcast")
    if entry.audiobookName or entry.chapterName:
        return Listen("audiobook")
    title, artist = _text(entry.trackName), _text(entry.artistName)
    if title is None or artist is None:
        return Listen("no_track")
    milliseconds = _whole(entry.msPlayed)
    return Listen(
        None,
        "",
        _time(entry.endTime, "endTime"),
        tracks.by_name(artist, title),
        title,
        artist,
        event_type=_kind(milliseconds, None, None),
        # Its times are of minutes: in one of them a song may be skipped and played.
        mark="" if milliseconds is None else f":{milliseconds}",
    )


def _recent(entry: Any) -> Listen:
    """An item of the Web API's answer to *recently played*."""
    return _item(entry, _member(entry), entry.played_at, "played_at")


def _playlist(entry: Any) -> Listen:
    """An item of a playlist: recommended in its market since it was added."""
    found = _item(entry, _member(entry), entry.added_at, "added_at")
    return found._replace(event_type="recommendation", mark=":playlist")


def _member(entry: Any) -> object:
    return entry.track if entry.track is not None else entry.item


def _item(entry: Any, track: object, time: object, name: str) -> Listen:
    if not isinstance(track, dict):
        return Listen("no_track")
    uri = track.get("uri") or track.get("id")
    kind, identifier = tracks.refer(uri) if isinstance(uri, str) else (tracks.Kind.NONE, None)
    if kind is tracks.Kind.LOCAL or entry.is_local is True or track.get("is_local") is True:
        return Listen("local_file")
    if kind is tracks.Kind.EPISODE or track.get("type") == "episode":
        return Listen("podcast")
    if identifier is None:
        return Listen("no_track")
    names = [
        _text(item.get("name")) for item in _list(track.get("artists")) if isinstance(item, dict)
    ]
    album = track.get("album")
    popularity = _whole(track.get("popularity"))
    return Listen(
        None,
        "",
        _time(time, name),
        identifier,
        _text(track.get("name")),
        ", ".join(filter(None, names)) or None,
        _text(album.get("name")) if isinstance(album, dict) else None,
        popularity=popularity if popularity is not None and 0 <= popularity <= 100 else None,
    )


def _listenbrainz(entry: Any) -> Listen:
    """A listen of ListenBrainz: of an export, a saved answer or a member of a dump."""
    data = entry.track_metadata
    info = _dict(data.get("additional_info"))
    title, artist = _text(data.get("track_name")), _text(data.get("artist_name"))
    track, kind = None, tracks.Kind.NONE
    said = info.get("spotify_id")
    if isinstance(said, str):
        kind, track = tracks.refer(said)
    if kind in (tracks.Kind.EPISODE, tracks.Kind.CHAPTER):
        return Listen("podcast" if kind is tracks.Kind.EPISODE else "audiobook")
    track = track or tracks.spotify_track(info.get("origin_url"))
    mapped = _text(_dict(data.get("mbid_mapping")).get("recording_mbid"))
    recording = mapped or _text(info.get("recording_mbid"))
    submitted = next(
        filter(
            None,
            map(
                _text,
                (entry.recording_msid, data.get("recording_msid"), info.get("recording_msid")),
            ),
        ),
        None,
    )
    if track is None:
        if recording:
            track = f"mbid:{recording}"
        elif submitted:
            track = f"msid:{submitted}"
        elif title and artist:
            track = tracks.by_name(artist, title)
        else:
            return Listen("no_track")
    time = entry.listened_at if entry.listened_at is not None else entry.timestamp
    return Listen(
        None, "", _time(time, "listened_at"), track, title, artist, _text(data.get("release_name"))
    )


def _lastfm(entry: Any) -> Listen:
    """A scrobble of Last.fm, whose identifiers are too often missing to name songs by."""
    if isinstance(entry.attr, dict) and entry.attr.get("nowplaying"):
        return Listen("no_time")
    title, artist = _text(entry.name), _named(entry.artist)
    if title is None or artist is None:
        return Listen("no_track")
    date = entry.date
    if isinstance(date, dict):
        date = date.get("uts") or date.get("#text")
    if date is None:
        return Listen("no_time")
    return Listen(
        None,
        "",
        _time(date, "date"),
        tracks.by_name(artist, title),
        title,
        artist,
        _named(entry.album),
    )


def _is_listenbrainz(entry: Any) -> bool:
    """Tell a listen from what an export has beside: loves, hates and pins, which have no time."""
    timed = entry.listened_at is not None or entry.timestamp is not None
    return timed and isinstance(entry.track_metadata, dict)


GENERATIONS = (
    Generation("historial ampliado de Spotify", lambda e: e.ts is not None, _stream),
    Generation("datos de cuenta de Spotify", lambda e: e.endTime is not None, _account_stream),
    Generation("escuchas recientes (Web API)", lambda e: e.played_at is not None, _recent),
    Generation("ListenBrainz", _is_listenbrainz, _listenbrainz),
    Generation("lista de reproducción (Web API)", lambda e: e.added_at is not None, _playlist),
    Generation(
        "Last.fm", lambda e: e.artist is not None and isinstance(e.name, str), _lastfm
    ),
)  # fmt: skip


def _kind(milliseconds: int | None, reason_end: object, skipped: object) -> str:
    """Return whether a stream was a play or a skip.

    From 30 seconds on it counts as a stream, whatever was done afterwards. One that came to the
    end of the track by itself (``trackdone``) was heard as far as it goes: nobody skipped it, and
    a track shorter than 30 seconds can be heard no further. The flag decides only where nothing
    says how long it was.
    """
    if milliseconds is None:
        flagged = skipped is True or str(skipped).lower() in ("true", "1")
        return "skip" if flagged else "play"
    if milliseconds >= SKIPPED_BELOW_MS or (reason_end == "trackdone" and milliseconds > 0):
        return "play"
    return "skip"


def _time(value: object, name: str) -> datetime:
    """Return a time in UTC, to the second: exports of one listen do not agree beyond.

    Raises:
        _UnreadableError: it says none.
    """
    found = None
    if isinstance(value, str):
        found = _time_of_text(value.strip())
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        found = _time_of_number(value)
    if found is None:
        raise _UnreadableError(f"{name} = «{str(value)[:80]}», se esperaba una hora")
    return found


def _time_of_text(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text.removesuffix(" UTC"))
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        return time.replace(microsecond=0)
    except (ValueError, OverflowError):
        pass
    if re.fullmatch(r"\d{1,15}(\.\d+)?", text, re.ASCII):
        return _time_of_number(float(text))
    match = _LASTFM_TIME.fullmatch(text)
    if match is None or match[2].lower() not in _MONTHS:
        return None
    try:
        day, year, hour, minute = (int(match[place]) for place in (1, 3, 4, 5))
        return datetime(year, _MONTHS[match[2].lower()], day, hour, minute, tzinfo=UTC)
    except ValueError:
        return None


def _time_of_number(number: float) -> datetime | None:
    seconds = number / 1000 if abs(number) >= _MILLISECONDS_FROM else number
    try:
        return _EPOCH + timedelta(seconds=int(seconds))
    except (OverflowError, ValueError):
        return None


def _whole(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"\d{1,15}(\.0+)?", value, re.ASCII):
        return int(value.split(".")[0])
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _named(value: object) -> str | None:
    """Return a name of Last.fm: text, or an object with it."""
    if isinstance(value, dict):
        return _text(value.get("#text")) or _text(value.get("name"))
    return _text(value)


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
