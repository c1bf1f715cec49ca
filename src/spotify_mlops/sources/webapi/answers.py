"""What the API shows, as events.

A track of a search, of a playlist or of a new album is an event of the poll's time slot; a track
of a listener's recent plays, of the time when it was played. Tracks are read as those of saved
answers are (`sources.history`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from ...domain.events.times import parse_dates
from ..account import FileAccount
from ..found import as_columns
from ..history.entries import entry_of
from ..history.generations import TIME, Listen, generation_of, listen, listen_name

SOURCE = "webapi"
_ROWS: dict[str, pl.DataType | type[pl.DataType]] = {
    "_where": pl.String, "event_time": pl.Datetime("us", "UTC"), "event_type": pl.String,
    "country": pl.String, "track_id": pl.String,
    "track_name": pl.String, "artist_name": pl.String, "popularity": pl.Int64,
    "artist_id": pl.String, "album_name": pl.String, "release_date": pl.String,
}  # fmt: skip


@dataclass
class Shown:
    """What the API shows of one kind in one market, in one time slot."""

    file: FileAccount
    """Its account: items are its rows."""
    country: str
    event_type: str
    slot: datetime
    relinked: int = 0
    """Tracks that stand for another one in this market; the event is of that one."""
    _rows: list[tuple[object, ...]] = field(default_factory=list)

    def search(self, content: Mapping[str, Any], query: str) -> None:
        """Take the answer to a search of tracks."""
        for place, track in enumerate(items(content.get("tracks")), 1):
            self._add(track, f"«{query}», {place}")

    def playlist(self, content: Mapping[str, Any], identifier: str, first: int) -> None:
        """Take a page of the items of a playlist, of before or since February 2026."""
        for place, item in enumerate(items(content), first + 1):
            member = item if isinstance(item, dict) else {}
            track = member.get("item") if member.get("item") is not None else member.get("track")
            is_local = member.get("is_local") is True
            self._add(track, f"{identifier}, {place}", is_local=is_local)

    def recent(self, content: Mapping[str, Any]) -> None:
        """Take the answer to *recently played*."""
        for place, item in enumerate(items(content), 1):
            member = item if isinstance(item, dict) else {}
            self._add(member.get("track"), str(place), played_at=member.get("played_at") or "")

    def album(self, album: Mapping[str, Any], tracks: list[Any]) -> None:
        """Take the tracks of a new album, which do not say that they are of it."""
        for place, track in enumerate(tracks, 1):
            whole = {**track, "album": album} if isinstance(track, dict) else track
            self._add(whole, f"{album.get('id')}, {place}")

    def without_tracks(self, reason: str = "no_track") -> None:
        """Count an album of which there are no tracks to be had."""
        self.file.rows += 1
        self.file.leave_out(reason)

    def events(self) -> pl.DataFrame:
        """Return the events (``EVENT_COLUMNS`` and ``_where``).

        Their identifiers are the same however often a poll is repeated.
        """
        frame = pl.DataFrame(self._rows, _ROWS, orient="row")
        slot = pl.col("event_time").dt.strftime(TIME)
        seen = pl.format(f"{SOURCE}:{{}}:{{}}:{{}}:{{}}", "country", "event_type", "track_id", slot)
        name = listen_name() if self.event_type == "play" else seen
        named = frame.with_columns(parse_dates(frame["release_date"]), event_id=name)
        return as_columns(named, SOURCE)

    def _add(
        self, track: object, where: str, *, is_local: bool = False, played_at: object = None
    ) -> None:
        self.file.rows += 1
        original, relinked = _original(track)
        time = self.slot.isoformat() if played_at is None else played_at
        entry = entry_of({"track": original, "is_local": is_local, "played_at": time})
        generation = generation_of(entry)
        assert generation is not None  # it has the time of a play
        found = listen(entry, generation)
        if found.reason is not None:
            named = [f"{where}: {found.told}"] if found.told else ()
            self.file.leave_out(found.reason, 1, named)
            return
        self.relinked += relinked
        assert isinstance(original, dict)
        self._rows.append(self._row(found, original, where))

    def _row(self, found: Listen, track: Mapping[str, Any], where: str) -> tuple[object, ...]:
        return (
            where, found.time, self.event_type, self.country,
            found.track, found.title, found.artist, found.popularity, _artist(track), found.album,
            _release(track),
        )  # fmt: skip


def items(page: object) -> list[Any]:
    """Return the items of a page; none where it is no page."""
    found = page.get("items") if isinstance(page, dict) else None
    return found if isinstance(found, list) else []


def _original(track: object) -> tuple[object, bool]:
    """Return the track that another stands for in a market, and whether one does."""
    if not isinstance(track, dict):
        return track, False
    linked = track.get("linked_from")
    if not isinstance(linked, dict):
        return track, False
    identifier = linked.get("uri") or linked.get("id")
    if not isinstance(identifier, str) or not identifier:
        return track, False
    return {**track, "uri": identifier}, True


def _artist(track: Mapping[str, Any]) -> str | None:
    artists = track.get("artists")
    first = artists[0] if isinstance(artists, list) and artists else None
    found = first.get("id") if isinstance(first, dict) else None
    return found if isinstance(found, str) else None


def _release(track: Mapping[str, Any]) -> str | None:
    album = track.get("album")
    found = album.get("release_date") if isinstance(album, dict) else None
    return found if isinstance(found, str) else None
