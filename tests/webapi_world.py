"""Answers in the Web API's form whose content is the simulator's world, as it is at a time.

Ranks and popularity move from hour to hour; popularity is the place of a track's plays in all
countries together, from 100 down to 0 for those that hardly anybody hears.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spotify_mlops.config.params import Params
from spotify_mlops.domain.events import EVENT_TYPES
from spotify_mlops.sources.world import World
from webapi_server import NEW_RELEASES, RECENT, Asked, WebApi, albums, member, page, played, search

LISTENER_PLAYS = 12
"""Of the listener in an hour."""
_RELEASED_HOURS = 48
_HEARD = 0.45
"""Share of the tracks that have a popularity above 0."""
_PLAY, _SEARCH = EVENT_TYPES.index("play"), EVENT_TYPES.index("search_result")


class Answers:
    """What the API answers in a world.

    Args:
        params: of the world and of what is asked.
        now: the time of it.
        with_popularity: as an application in extended quota mode gets it.
    """

    def __init__(
        self, params: Params, now: Callable[[], datetime], *, with_popularity: bool = True
    ) -> None:
        self._params = params
        self._world = World.of(params)
        self._now = now
        self._with_popularity = with_popularity
        self._rates = lru_cache(64)(self._rates_of)

    def install(self, api: WebApi) -> None:
        """Let a server answer so."""
        api.contents = {
            "search": self._search,
            NEW_RELEASES: self._new_releases,
            "albums/": self._album,
            "playlists/": self._playlist,
            RECENT: self._recent,
        }

    def popularity(self, hour: int) -> NDArray[np.int64]:
        """Return the popularity of each track in an hour."""
        plays = self._rates(hour)[:, _PLAY].sum(axis=0)
        place = (-plays).argsort(kind="stable").argsort(kind="stable")
        return np.rint(np.clip(100 - 100 * place / (_HEARD * len(plays)), 0, 100)).astype(np.int64)

    def _rates_of(self, hour: int) -> NDArray[np.float64]:
        """Return the rates of an hour, shape (C, kind, K)."""
        volume = self._world.volume(hour, hour + 1)[0]
        return self._world.rates(hour, hour + 1)[0] * volume[:, None, None]

    def _hour(self) -> int:
        return (self._now() - self._world.start) // timedelta(hours=1)

    def _place(self, asked: Asked, name: str = "market") -> int:
        return self._world.countries.index(asked.query[name])

    def _track(self, number: int, hour: int) -> dict[str, Any]:
        world, name = self._world, self._world.track_id[number]
        found = {
            "album": self._release(number), "id": name, "name": world.track_name[number],
            "artists": [{"id": world.artist_id[number], "name": world.artist_name[number]}],
            "is_local": False, "type": "track", "uri": f"spotify:track:{name}",
        }  # fmt: skip
        if self._with_popularity:
            found["popularity"] = int(self.popularity(hour)[number])
        return found

    def _release(self, number: int) -> dict[str, Any]:
        date, name = self._world.release_date[number], self._world.track_name[number]
        return {"id": f"album{number}", "name": name, "release_date": date and date.isoformat()}

    def _top(self, rates: NDArray[np.float64], most: int) -> list[int]:
        order = np.argsort(-rates, kind="stable")[:most]
        return [int(number) for number in order if rates[number] > 0]

    def _search(self, asked: Asked) -> dict[str, Any]:
        hour, queries = self._hour(), self._params.webapi.queries
        rates = self._rates(hour)[self._place(asked), _SEARCH].copy()
        rates[np.arange(len(rates)) % len(queries) != queries.index(asked.query["q"])] = 0
        limit = int(asked.query["limit"])
        return search(*(self._track(number, hour) for number in self._top(rates, limit)))

    def _new_releases(self, asked: Asked) -> dict[str, Any]:
        hour, place = self._hour(), self._place(asked, "country")
        age = hour - self._world.released[place]
        new = np.flatnonzero((age >= 0) & (age < _RELEASED_HOURS))
        newest = new[np.argsort(age[new], kind="stable")][: int(asked.query["limit"])]
        return albums(*(self._release(int(number)) for number in newest))

    def _album(self, asked: Asked) -> dict[str, Any]:
        number = int(asked.path.split("/")[1].removeprefix("album"))
        whole = self._track(number, 0)
        return page({name: whole[name] for name in whole if name not in ("album", "popularity")})

    def _playlist(self, asked: Asked) -> dict[str, Any]:
        hour = self._hour()
        rates = self._rates(hour)[self._place(asked), _PLAY]
        found = self._top(rates, int(asked.query["limit"]))
        return page(*(member(self._track(number, hour)) for number in found))

    def _recent(self, asked: Asked) -> dict[str, Any]:
        now, last = self._now(), self._hour()
        country = self._params.webapi.listener_country
        assert country is not None
        plays = []
        for hour in range(max(last - 4, 0), last + 1):
            rates = self._rates(hour)[self._world.countries.index(country), _PLAY]
            draw = np.random.default_rng([self._params.simulator.seed, 9, hour])
            for number in draw.choice(len(rates), LISTENER_PLAYS, p=rates / rates.sum()):
                minute = 5 * (len(plays) % LISTENER_PLAYS)
                time = self._world.start + timedelta(hours=hour, minutes=minute)
                if time <= now:
                    text = time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.250Z")
                    plays.append(played(self._track(int(number), hour), text))
                else:
                    plays.append({})
        real = [play for play in plays if play]
        return page(*reversed(real[-int(asked.query["limit"]) :]))
