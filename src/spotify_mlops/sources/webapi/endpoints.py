"""What is asked of the API, and what of it an application does not get."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ...config.errors import ServiceError
from ...config.progress import Progress
from ...io.webapi import AwayError, Client, RefusedError
from .answers import items

SEARCH_LIMIT = 10
"""Of tracks in a search; more is refused since February 2026."""
PAGE = 50
_MOST_PAGES = 20
_PATIENCE = 3
"""Requests in a row that are given up before a poll is."""
_GONE = (404, 410)


@dataclass(frozen=True)
class Endpoint:
    """A kind of request."""

    what: str
    """Spanish."""
    of_one: bool = False
    """Of a thing with an identifier, which may be missing while the others are there."""
    owned: bool = False
    """Of a thing that has an owner, who may keep it for himself."""
    as_listener: bool = False
    """With the listener's token."""


SEARCH = Endpoint("la búsqueda (search)")
NEW_RELEASES = Endpoint("los lanzamientos (browse/new-releases)")
ALBUM = Endpoint("las canciones de un disco (albums/ID/tracks)", of_one=True)
PLAYLIST = Endpoint("las canciones de una lista (playlists/ID/items)", of_one=True, owned=True)
RECENT = Endpoint("las escuchas recientes (me/player/recently-played)", as_listener=True)


@dataclass
class Refusals:
    """What the API has refused: it is told once, and not asked for again by this process."""

    _refused: dict[tuple[Endpoint, str], int] = field(default_factory=dict)
    told: list[dict[str, Any]] = field(default_factory=list)

    def hold(self, endpoint: Endpoint, request: str) -> bool:
        """Tell whether a request was refused before, or all of its kind."""
        return (endpoint, "") in self._refused or (endpoint, request) in self._refused

    def add(self, endpoint: Endpoint, request: str, error: RefusedError, say: Progress) -> None:
        """Remember a refusal, and tell it."""
        of_all = (error.status == 403 and not endpoint.owned) or (
            error.status in _GONE and not endpoint.of_one
        )
        self._refused[endpoint, "" if of_all else request] = error.status
        what = endpoint.what if of_all else f"{endpoint.what}, {request}"
        self.told.append({"what": what, "status": error.status, "reason": error.reason})
        said = f": {error.reason}" if error.reason else ""
        say(
            f"La Web API no da {what} a esta aplicación (HTTP {error.status}{said}). "
            "No se vuelve a pedir; lo demás sigue."
        )


class Asking:
    """The requests of one poll.

    Raises (each method):
        CredentialsError, LimitError: the API takes no more.
        AwayError: several requests in a row were given up.
        StoppedError: it was asked to end.
    """

    def __init__(self, client: Client, refusals: Refusals, say: Progress) -> None:
        self._client = client
        self._refusals = refusals
        self._say = say
        self._given_up = 0
        self.lost: ServiceError | None = None
        """Why a request was given up, the last one that was."""

    def one(
        self,
        endpoint: Endpoint,
        request: str,
        path: str,
        **query: str | int,
    ) -> dict[str, Any] | None:
        """Return an answer; None where it is refused, or given up."""
        if self._refusals.hold(endpoint, request):
            return None
        try:
            found = self._client.get(path, as_listener=endpoint.as_listener, **query)
        except RefusedError as error:
            self._refusals.add(endpoint, request, error, self._say)
            return None
        except AwayError as error:
            self.lost = error
            self._given_up += 1
            if self._given_up >= _PATIENCE:
                raise
            self._say(f"{error} Se deja {endpoint.what}, {request}.")
            return None
        self._given_up = 0
        return found

    def pages(
        self, endpoint: Endpoint, request: str, path: str, **query: str | int
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the pages of a list, each with the place at which it begins."""
        offset = 0
        for _ in range(_MOST_PAGES):
            found = self.one(endpoint, request, path, limit=PAGE, offset=offset, **query)
            if found is None:
                return
            yield offset, found
            offset += len(items(found))
            if not items(found) or not found.get("next"):
                return
