"""The real answers of the Web API, as client libraries keep them for their tests, as they are.

They are beside the project, not in it: without them these tests are skipped.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from hands import Hands
from memory_log import Log
from spotify_mlops.config.params import Params
from spotify_mlops.io.webapi import LimitError
from webapi_ingest import LIST, SLOT, events, ingest, profile
from webapi_server import NEW_RELEASES, RECENT, Reply, WebApi

ANSWERS = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "spotify_webapi"
SINCE, BEFORE = "python-spotify_post_feb2026", "python-spotify_pre_feb2026"
JAVA = "spotify-web-api-java"

pytestmark = pytest.mark.skipif(
    not ANSWERS.is_dir(), reason="the shared answers of the Web API are not on this machine"
)


def body(name: str) -> bytes:
    return (ANSWERS / name).read_bytes()


def nothing_but(api: WebApi, **changes: Any) -> Params:
    return profile(api, **{"countries": ["CO"], "webapi_queries": []} | changes)


@pytest.mark.parametrize(
    ("name", "tracks", "popularity"),
    [
        (f"{SINCE}/search.json", 5, 78),
        (f"{BEFORE}/search.stripped.json", 20, 71),
        ("DERIVED_devmode/search.json", 5, None),
        (f"{JAVA}/SearchItemRequest.json", 10, 71),
        (f"{JAVA}/SearchTracksRequest.json", 10, 71),
        ("zmb3-spotify/search_tracks.txt", 2, 88),
    ],
)
def test_a_search(api: WebApi, log: Log, name: str, tracks: int, popularity: int | None) -> None:
    api.contents = {"search": Reply(body(name))}
    settings = nothing_but(api, webapi_queries=["x"])
    assert ingest(settings)["published"] == tracks
    found = events(log, settings)
    given = json.loads(body(name))["tracks"]["items"]
    assert set(found["track_id"]) == {track["id"] for track in given}
    first = found.filter(track_id=given[0]["id"]).row(0, named=True)
    assert first["popularity"] == popularity
    assert first["track_name"] == given[0]["name"]
    assert first["artist_id"] == given[0]["artists"][0]["id"]
    if popularity is None:
        assert found["popularity"].null_count() == tracks
    assert set(found["event_type"]) == {"search_result"}
    assert set(found["event_time"]) == {SLOT}


@pytest.mark.parametrize(
    ("name", "plays", "popularity"),
    [
        (f"{SINCE}/recently_played_tracks.json", 48, 12),
        (f"{BEFORE}/recently_played_tracks.json", 20, 58),
        ("DERIVED_devmode/recently_played_tracks.json", 48, None),
        (f"{JAVA}/GetCurrentUsersRecentlyPlayedTracksRequest.json", 2, 51),
    ],
)
def test_recent_plays(api: WebApi, log: Log, name: str, plays: int, popularity: int | None) -> None:
    api.contents = {RECENT: Reply(body(name))}
    settings = nothing_but(api, webapi_listener_country="ES")
    assert ingest(settings)["published"] == plays
    found = events(log, settings)
    item = json.loads(body(name))["items"][0]
    time = datetime.fromisoformat(item["played_at"]).astimezone(UTC).replace(microsecond=0)
    first = found.filter(pl.col("event_time") == time).row(0, named=True)
    assert (first["track_id"], first["popularity"]) == (item["track"]["id"], popularity)
    assert (first["event_type"], first["country"]) == ("play", "ES")


def test_a_playlist_since_february_2026(api: WebApi, log: Log) -> None:
    name = f"{SINCE}/playlist_items.stripped.json"
    api.contents = {f"playlists/{LIST}/items": Reply(body(name))}
    settings = nothing_but(api, webapi_playlists={"CO": [LIST]})
    assert ingest(settings)["items"] == 1
    found = events(log, settings).row(0, named=True)
    assert (found["track_id"], found["popularity"]) == ("3ZL9gPzeCnKG9l5SB1SlcZ", 46)
    assert found["event_type"] == "recommendation"
    assert (found["album_name"], found["release_date"].isoformat()) == ("All I Need", "2025-01-13")


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        (f"{BEFORE}/new_releases.json", 20),
        (f"{JAVA}/GetListOfNewReleasesRequest.json", 2),
        ("spotify-web-api-php/new-releases.json", 5),
        ("zmb3-spotify/new_releases.txt", 20),
    ],
)
def test_new_releases(api: WebApi, log: Log, name: str, listed: int) -> None:
    api.contents = {
        NEW_RELEASES: Reply(body(name)),
        "albums/": Reply(body(f"{SINCE}/album_tracks.json")),
    }
    settings = nothing_but(api, webapi_new_releases=True)
    summary = ingest(settings)
    # The same eighteen tracks stand for each album's here.
    assert summary["items"] == 18 * listed
    assert summary["published"] == 18
    assert summary["left_out"] == {"repeated": 18 * (listed - 1)}
    found = events(log, settings)
    assert set(found["event_type"]) == {"new_release"}
    assert found["popularity"].null_count() == 18
    assert found["album_name"].null_count() == 0


def test_an_application_in_development_mode(api: WebApi, log: Log) -> None:
    refused = Reply.error(403, "Forbidden")
    api.contents = {
        "search": Reply(body("DERIVED_devmode/search.json")),
        NEW_RELEASES: refused,
        "playlists/": refused,
        RECENT: Reply(body("DERIVED_devmode/recently_played_tracks.json")),
    }
    settings = nothing_but(
        api, webapi_queries=["x"], webapi_new_releases=True, webapi_playlists={"CO": [LIST]},
        webapi_listener_country="CO",
    )  # fmt: skip
    summary = ingest(settings)
    assert summary["published"] == 53
    assert [one["status"] for one in summary["refused"]] == [403, 403]
    assert events(log, settings)["popularity"].null_count() == 53


def test_the_rate_limit(api: WebApi, log: Log) -> None:
    limit = body(f"{SINCE}/rate_limit.json")
    api.contents = {"search": Reply(body(f"{SINCE}/search.json"))}
    api.fail("search", Reply(limit, 429, {"Retry-After": "4"}))
    hands = Hands(SLOT)
    settings = nothing_but(api, webapi_queries=["x"])
    assert ingest(settings, hands)["published"] == 5
    assert hands.waits == [4]
    api.fail("search", Reply(limit, 429, {"Retry-After": "86400"}))
    with pytest.raises(LimitError, match="24,0 h"):
        ingest(settings, hands)
