"""One poll: everything that the params ask for, once, in each market."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import polars as pl

from ...config.errors import ParamsError, UserError
from ...config.params import Params
from ...config.progress import Progress, silent
from ...config.sections import Webapi
from ...config.spanish import number
from ...io.webapi import AwayError, Client, CredentialsError, LimitError
from ..account import Account
from ..found import Found
from . import endpoints
from .answers import Shown, items
from .endpoints import Asking, Refusals

_NEW_RELEASES = 20
"""Albums that are asked for: the API's own number."""
KINDS = {
    "play": "escuchas recientes",
    "search_result": "búsquedas",
    "new_release": "lanzamientos",
    "recommendation": "listas",
}


class Poller:
    """Polls one after the other; what does not change between them is asked for once.

    Raises:
        ParamsError: nothing is asked for, or of a country that is none of ``countries``.
    """

    def __init__(self, params: Params, client: Client, say: Progress = silent) -> None:
        check(params)
        self._params = params
        self._client = client
        self._say = say
        self._albums: dict[tuple[str, str], list[Any]] = {}
        self.refusals = Refusals()

    def poll(self, slot: datetime) -> Poll:
        """Begin a poll; its frames are to be read."""
        return Poll(self._params, slot, Asking(self._client, self.refusals, self._say), self)

    def album(self, asking: Asking, country: str, identifier: str) -> list[Any] | None:
        """Return the tracks of an album in a market; None where they are not given."""
        known = self._albums.get((country, identifier))
        if known is not None:
            return known
        lost = asking.lost
        path = f"albums/{identifier}/tracks"
        found: list[Any] = []
        pages = 0
        for _, page in asking.pages(endpoints.ALBUM, identifier, path, market=country):
            pages += 1
            found += items(page)
        if not pages:
            return None
        if asking.lost is lost:  # whole
            self._albums[country, identifier] = found
        return found

    def forget_albums(self, country: str, listed: set[str]) -> None:
        """Keep only what is still listed."""
        gone = [key for key in self._albums if key[0] == country and key[1] not in listed]
        for key in gone:
            del self._albums[key]


class Poll:
    """What one poll found. ``found`` is read once."""

    def __init__(self, params: Params, slot: datetime, asking: Asking, poller: Poller) -> None:
        self._webapi: Webapi = params.webapi
        self._countries = params.sources.countries
        self._asking = asking
        self._poller = poller
        self.slot = slot
        self.account = Account()
        self.relinked = 0
        self._ended: UserError | None = None

    @property
    def ended(self) -> UserError | None:
        """Why it is not whole: what ended it, or the last request that was given up."""
        return self._ended or self._asking.lost

    def found(self) -> Found:
        """Return what is to be published."""
        return Found(self._frames(), self.account)

    def _frames(self) -> Iterator[pl.DataFrame]:
        for country, event_type, ask in self._parts():
            file = self.account.begin(f"{country}, {KINDS[event_type]}")
            shown = Shown(file, country, event_type, self.slot)
            try:
                ask(shown)
            except (LimitError, CredentialsError, AwayError) as error:
                self._ended = error
            self.relinked += shown.relinked
            # What came before the end is published.
            yield shown.events()
            if not file.rows:
                self.account.files.remove(file)
            if self._ended is not None:
                return

    def _parts(self) -> Iterator[tuple[str, str, Callable[[Shown], None]]]:
        """Yield what is asked for: market, kind, and what asks."""
        if self._webapi.listener_country is not None:
            yield self._webapi.listener_country, "play", self._plays
        for country in self._countries:
            if self._webapi.queries:
                yield country, "search_result", self._searches
            if self._webapi.new_releases:
                yield country, "new_release", self._new_releases
            if self._webapi.playlists.get(country):
                yield country, "recommendation", self._playlists

    def _plays(self, shown: Shown) -> None:
        path, page = "me/player/recently-played", endpoints.PAGE
        content = self._asking.one(endpoints.RECENT, shown.country, path, limit=page)
        shown.recent(content or {})

    def _searches(self, shown: Shown) -> None:
        for query in self._webapi.queries:
            content = self._asking.one(
                endpoints.SEARCH,
                f"«{query}» en {shown.country}",
                "search",
                q=query,
                type="track",
                market=shown.country,
                limit=endpoints.SEARCH_LIMIT,
            )
            shown.search(content or {}, query)

    def _new_releases(self, shown: Shown) -> None:
        country, path = shown.country, "browse/new-releases"
        content = self._asking.one(
            endpoints.NEW_RELEASES, country, path, country=country, limit=_NEW_RELEASES
        )
        if content is None:
            return
        listed: set[str] = set()
        for album in items(content.get("albums")):
            identifier = album.get("id") if isinstance(album, dict) else None
            if not isinstance(identifier, str) or not identifier:
                shown.without_tracks()
                continue
            listed.add(identifier)
            tracks = self._poller.album(self._asking, country, identifier)
            if tracks is None:
                shown.without_tracks("not_given")
            else:
                shown.album(album, tracks)
        self._poller.forget_albums(country, listed)

    def _playlists(self, shown: Shown) -> None:
        for identifier in self._webapi.playlists[shown.country]:
            pages = self._asking.pages(
                endpoints.PLAYLIST,
                identifier,
                f"playlists/{identifier}/items",
                market=shown.country,
            )
            for first, page in pages:
                shown.playlist(page, identifier, first)


def check(params: Params) -> None:
    """Refuse params with which nothing can be asked.

    Raises:
        ParamsError: so it is.
    """
    asked = params.webapi
    strange = sorted(set(asked.playlists) - set(params.sources.countries))
    if strange:
        raise ParamsError(
            f"webapi_playlists tiene listas de {', '.join(strange)}, que no está en countries."
        )
    lists = any(asked.playlists.values())
    if not (asked.queries or asked.new_releases or asked.listener_country or lists):
        raise ParamsError(
            "No hay nada que pedir a la Web API: di webapi_queries, webapi_playlists, "
            "webapi_new_releases o webapi_listener_country."
        )


def too_slow(params: Params) -> str | None:
    """Return what to say (Spanish) where a poll needs more requests than its interval has."""
    asked, markets = params.webapi, params.sources.countries
    needed = len(markets) * (len(asked.queries) + asked.new_releases)
    needed += sum(map(len, asked.playlists.values())) + (asked.listener_country is not None)
    minutes = asked.interval.total_seconds() / 60
    if needed <= asked.requests_per_minute * minutes:
        return None
    return (
        f"Una ronda pide al menos {number(needed)} veces y en webapi_interval caben "
        f"{number(int(asked.requests_per_minute * minutes))} (webapi_requests_per_minute): "
        "habrá intervalos sin ronda."
    )
