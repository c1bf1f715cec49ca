"""A server on loopback in the place of Spotify's Web API and of its tokens.

It answers what a test says (``contents``, by what the path begins with), or first what a test has
put in line (``faults``): refusals, waits, JSON that breaks, connections that are cut.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import loopback

CLIENT = ("client-of-tests", "planted-client-secret")
REFRESH = "planted-refresh-token"
ENVIRONMENT = {
    "SPOTIFY_CLIENT_ID": CLIENT[0],
    "SPOTIFY_CLIENT_SECRET": CLIENT[1],
    "SPOTIFY_REFRESH_TOKEN": REFRESH,
}
NEW_RELEASES, RECENT = "browse/new-releases", "me/player/recently-played"


@dataclass(frozen=True)
class Asked:
    """A request, as it came."""

    path: str
    """Below ``/v1/``; ``token`` for a token."""
    query: dict[str, str]
    authorization: str


@dataclass(frozen=True)
class Reply:
    """What is answered."""

    body: bytes = b"{}"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    """The connection ends in the middle of the body."""

    @classmethod
    def of(cls, content: object, status: int = 200, **headers: str) -> Reply:
        """Make one of what becomes JSON."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(json.dumps(content).encode(), status, named)

    @classmethod
    def error(cls, status: int, message: str = "", reason: str = "", **headers: str) -> Reply:
        """Make an error, in the API's form."""
        said = {"status": status, "message": message} | ({"reason": reason} if reason else {})
        return cls.of({"error": said}, status, **headers)


Content = Reply | Callable[[Asked], Any]


class WebApi:
    """What the server answers, and what it was asked."""

    def __init__(self) -> None:
        self.contents: dict[str, Content] = {}
        self.faults: deque[tuple[str, Reply]] = deque()
        """Each is answered once, to the first request whose path begins so."""
        self.asked: list[Asked] = []
        self.expires_in = 3600
        self.tokens = 0
        self.address = ""

    def fail(self, path: str, *replies: Reply) -> None:
        """Answer the next requests of a path so."""
        self.faults.extend((path, reply) for reply in replies)

    def paths(self) -> list[str]:
        """Return what was asked, in order, without tokens."""
        return [asked.path for asked in self.asked if asked.path != "token"]

    def reply(self, asked: Asked) -> Reply:
        """Answer a request."""
        self.asked.append(asked)
        for at, (path, reply) in enumerate(self.faults):
            if asked.path.startswith(path):
                del self.faults[at]
                return reply
        if asked.path == "token":
            return self._token(asked)
        if asked.authorization != f"Bearer token-{self.tokens}":
            return Reply.error(401, "The access token expired")
        for path, content in self.contents.items():
            if asked.path.startswith(path):
                return content if isinstance(content, Reply) else Reply.of(content(asked))
        return Reply.error(404, "Not found")

    def _token(self, asked: Asked) -> Reply:
        basic = base64.b64encode(":".join(CLIENT).encode()).decode()
        if asked.authorization != f"Basic {basic}":
            return Reply.of({"error": "invalid_client"}, 400)
        if asked.query.get("refresh_token", REFRESH) != REFRESH:
            return Reply.of({"error": "invalid_grant"}, 400)
        self.tokens += 1
        token = {"access_token": f"token-{self.tokens}", "token_type": "Bearer"}
        return Reply.of(token | {"expires_in": self.expires_in})


@contextmanager
def serving() -> Iterator[WebApi]:
    """Serve on a free port of loopback."""
    api = WebApi()

    class Handler(loopback.Answering, BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            self._answer(parts.path.removeprefix("/v1/"), parts.query)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            assert self.path == "/api/token"
            self._answer("token", body)

        def _answer(self, path: str, query: str) -> None:
            said = {name: values[0] for name, values in parse_qs(query).items()}
            reply = api.reply(Asked(path, said, self.headers.get("Authorization", "")))
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) // 2] if reply.cut else reply.body)
            self.close_connection = reply.cut

    with loopback.serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        api.address = f"http://127.0.0.1:{server.server_port}"
        yield api


def track(identifier: str, **changes: Any) -> dict[str, Any]:
    """Make a track, in the API's form."""
    return {
        "album": {
            "id": f"album{identifier}", "name": f"Disco {identifier}", "type": "album",
            "release_date": "2026-03-01", "release_date_precision": "day",
        },
        "artists": [
            {"id": f"artist{identifier}", "name": "Trío Ruido", "type": "artist"},
            {"id": "another", "name": "MC Sesgo", "type": "artist"},
        ],
        "id": identifier, "is_local": False, "name": f"Canción {identifier}", "popularity": 61,
        "type": "track", "uri": f"spotify:track:{identifier}",
    } | changes  # fmt: skip


def episode(identifier: str) -> dict[str, Any]:
    """Make an episode of a podcast, as playlists and searches hold them."""
    return {"id": identifier, "name": "Hablar", "type": "episode", "show": {"name": "Voces"},
            "uri": f"spotify:episode:{identifier}"}  # fmt: skip


def local_file() -> dict[str, Any]:
    """Make a file of the listener's own."""
    uri = "spotify:local:Nadie:Nada:Maqueta:200"
    return track("", id=None, uri=uri, is_local=True, popularity=0)


def search(*tracks: object) -> dict[str, Any]:
    """Make the answer to a search of tracks."""
    return {"tracks": {"items": list(tracks), "limit": 10, "next": None, "total": len(tracks)}}


def page(*members: object, following: str | None = None) -> dict[str, Any]:
    """Make a page of a list."""
    return {"items": list(members), "next": following, "limit": 50}


def member(track: object, *, since_2026: bool = True, **changes: Any) -> dict[str, Any]:
    """Make an item of a playlist, as it is since February 2026 or was before."""
    name = "item" if since_2026 else "track"
    return {"added_at": "2026-04-30T10:00:00Z", "is_local": False, name: track} | changes


def played(track: object, played_at: str) -> dict[str, Any]:
    """Make an item of the recent plays."""
    return {"track": track, "played_at": played_at, "context": None}


def albums(*found: object) -> dict[str, Any]:
    """Make the answer to new releases."""
    return {"albums": page(*found)}
