"""What the Web API shows, as events: kinds, identities, what is left out, refusals, polls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from hands import Hands
from memory_log import PARTITIONS, KilledError, Log
from source_files import read, write
from spotify_mlops.config import params
from spotify_mlops.config.errors import ParamsError, ServiceError
from spotify_mlops.io.webapi import AwayError, CredentialsError, LimitError
from spotify_mlops.sources import manifest
from spotify_mlops.sources.webapi.polls import too_slow
from webapi_ingest import LIST, SLOT, START, events, ingest, profile
from webapi_server import (
    NEW_RELEASES,
    RECENT,
    Asked,
    Reply,
    WebApi,
    albums,
    episode,
    local_file,
    member,
    page,
    played,
    search,
    track,
)


def test_each_endpoint_gives_its_kind_in_the_market_that_was_asked(api: WebApi, log: Log) -> None:
    api.contents = {
        "search": lambda asked: search(track(f"s{asked.query['market']}")),
        NEW_RELEASES: lambda asked: albums(
            {"id": f"new{asked.query['country']}", "name": "Nuevo", "release_date": "2026"}
        ),
        "albums/newCO/tracks": Reply.of(page({"uri": "spotify:track:n1", "name": "Una"})),
        "albums/newES/tracks": Reply.of(page({"uri": "spotify:track:n2", "name": "Dos"})),
        f"playlists/{LIST}/items": Reply.of(page(member(track("p")))),
        RECENT: Reply.of(page(played(track("r"), "2026-05-01T08:00:00.123Z"))),
    }
    settings = profile(
        api,
        webapi_new_releases=True,
        webapi_playlists={"ES": [f"https://open.spotify.com/playlist/{LIST}?si=x"]},
        webapi_listener_country="CO",
    )
    summary = ingest(settings)
    found = events(log, settings)
    columns = ("country", "event_type", "track_id", "event_time", "popularity")
    assert found.select(columns).rows() == [
        ("CO", "play", "r", datetime(2026, 5, 1, 8, tzinfo=UTC), 61),
        ("CO", "new_release", "n1", SLOT, None),
        ("CO", "search_result", "sCO", SLOT, 61),
        ("ES", "new_release", "n2", SLOT, None),
        ("ES", "recommendation", "p", SLOT, 61),
        ("ES", "search_result", "sES", SLOT, 61),
    ]
    searched = found.filter(track_id="sCO").row(0, named=True)
    assert searched["event_id"] == "webapi:CO:search_result:sCO:2026-05-01T10:00:00Z"
    assert searched["artist_name"] == "Trío Ruido, MC Sesgo"
    assert (searched["artist_id"], searched["album_name"]) == ("artistsCO", "Disco sCO")
    assert (searched["track_name"], searched["source"]) == ("Canción sCO", "webapi")
    assert searched["release_date"].isoformat() == "2026-03-01"
    released = found.filter(track_id="n1").row(0, named=True)
    assert released["album_name"] == "Nuevo"
    assert released["release_date"].isoformat() == "2026-01-01"
    assert set(found["count"]) == {1}
    assert summary["items"] == summary["published"] == 6
    assert summary["requests"] == len(api.asked)
    asked = [one for one in api.asked if one.path == "search"]
    assert [one.query["limit"] for one in asked] == ["10", "10"]
    assert {one.query["q"] for one in asked} == {"genre:pop"}


def test_what_is_no_track_is_left_out_and_counted(api: WebApi, log: Log) -> None:
    linked = {"id": "original", "uri": "spotify:track:original", "type": "track"}
    found = [
        member(track("a")),
        member(track("b"), since_2026=False),
        member(track("c", linked_from=linked)),
        member(None),
        member(None, since_2026=False),
        None,
        "x",
        {},
        member(episode("e")),
        member(local_file()),
        member(local_file(), is_local=True, since_2026=False),
        member(track("d", id=None, uri=None)),
        member({}),
        member(track("a")),
    ]
    api.contents = {f"playlists/{LIST}": Reply.of(page(*found))}
    settings = profile(api, countries=["CO"], webapi_queries=[], webapi_playlists={"CO": [LIST]})
    summary = ingest(settings)
    assert events(log, settings)["track_id"].to_list() == ["a", "b", "original"]
    assert summary["left_out"] == {
        "no_track": 7, "podcast": 1, "local_file": 2, "repeated": 1,
    }  # fmt: skip
    assert (summary["items"], summary["relinked"]) == (len(found), 1)
    assert summary["told"] == (
        "3 eventos, 7 sin canción, 1 pódcast, 2 archivos locales, 1 repetida "
        "(1 enlazada desde otra)"
    )


@pytest.mark.parametrize(
    ("said", "kept"), [(0, 0), (100, 100), (None, None), (101, None), ("x", None), (73.0, 73)]
)
def test_popularity_is_kept_or_null_and_never_made_up(
    api: WebApi, log: Log, said: object, kept: int | None
) -> None:
    without = {name: value for name, value in track("n").items() if name != "popularity"}
    api.contents = {"search": Reply.of(search(track("t", popularity=said), without))}
    settings = profile(api, countries=["CO"])
    ingest(settings)
    assert events(log, settings)["popularity"].to_list() == [None, kept]


def test_a_search_of_other_things_too_gives_its_tracks(api: WebApi, log: Log) -> None:
    content = search(track("a"), None) | {"artists": page({"id": "x"}), "albums": None}
    api.contents = {"search": Reply.of(content)}
    summary = ingest(profile(api, countries=["CO"]))
    assert (summary["items"], summary["left_out"]) == (2, {"no_track": 1})


def test_a_poll_repeated_in_its_slot_publishes_nothing_twice(api: WebApi, log: Log) -> None:
    shown = [track("a")]
    api.contents = {"search": lambda asked: search(*shown)}
    settings = profile(api)
    assert ingest(settings)["published"] == 2
    shown.append(track("b"))
    again = ingest(settings, Hands(START + timedelta(minutes=7)))
    assert (again["published"], again["skipped"]) == (2, 2)
    later = ingest(settings, Hands(START + timedelta(minutes=8)))
    assert (later["published"], later["skipped"]) == (4, 0)
    assert events(log, settings)["event_id"].is_unique().all()


def test_recent_plays_are_published_once_however_long_they_are_shown(api: WebApi, log: Log) -> None:
    shown = [played(track("a"), "2026-04-20T08:00:00.500Z")]
    api.contents = {"search": Reply.of(search(track("s"))), RECENT: lambda asked: page(*shown)}
    settings = profile(api, countries=["CO"], webapi_listener_country="CO")
    for poll in range(4):
        summary = ingest(settings, Hands(START + timedelta(hours=poll)))
        assert (summary["published"], summary["skipped"]) == ((2, 0) if poll == 0 else (1, 1))
    shown.append(played(track("a"), "2026-05-01T13:50:00Z"))
    assert ingest(settings, Hands(START + timedelta(hours=4)))["published"] == 2
    plays = events(log, settings).filter(event_type="play")
    assert plays.height == 2


def test_a_play_is_the_same_event_as_that_of_a_saved_answer(
    api: WebApi, log: Log, tmp_path: Path
) -> None:
    content = page(played(track("a"), "2026-05-01T08:00:00.500Z"))
    api.contents = {RECENT: Reply.of(content)}
    settings = profile(api, webapi_queries=[], webapi_listener_country="CO")
    ingest(settings)
    saved, _ = read("history", f"{write(tmp_path, 'r.json', json.dumps(content))}=CO", "local")
    key = ("event_id", "event_time", "country", "track_id")
    assert events(log, settings).select(key).equals(saved.select(key))


def test_plays_are_not_asked_for_where_nobody_said_the_country(api: WebApi, log: Log) -> None:
    api.contents = {"search": Reply.of(search(track("a")))}
    ingest(profile(api))
    assert set(api.paths()) == {"search"}


def test_a_play_whose_time_cannot_be_read_is_named(api: WebApi, log: Log) -> None:
    plays = (played(track("a"), "ayer"), {"track": track("b")}, played(track("c"), "1970-01-01"))
    api.contents = {RECENT: Reply.of(page(*plays)), "search": Reply.of(search(track("s")))}
    told: list[str] = []
    settings = profile(api, countries=["CO"], webapi_listener_country="CO")
    summary = ingest(settings, progress=told.append)
    assert summary["left_out"] == {"unreadable": 2, "unset_clock": 1}
    assert any("1: played_at = «ayer», se esperaba una hora" in line for line in told)


def test_an_endpoint_that_is_not_given_is_told_once_and_the_rest_goes_on(
    api: WebApi, log: Log
) -> None:
    api.contents = {
        NEW_RELEASES: Reply.error(403, "Forbidden"),
        f"playlists/{LIST}/items": Reply.error(404, "Resource not found"),
        "playlists/other/items": Reply.of(page(member(track("p")))),
        "search": Reply.of(search(track("s"))),
    }
    told: list[str] = []
    settings = profile(
        api, webapi_new_releases=True, webapi_playlists={"CO": [LIST, "other"], "ES": [LIST]}
    )
    summary = ingest(settings, progress=told.append)
    assert summary["published"] == 3
    assert [(one["what"][:12], one["status"]) for one in summary["refused"]] == [
        ("los lanzamie", 403), ("las cancione", 404),
    ]  # fmt: skip
    assert sum("no da los lanzamientos" in line for line in told) == 1
    assert sum(LIST in line for line in told) == 1
    paths = api.paths()
    assert paths.count(NEW_RELEASES) == paths.count(f"playlists/{LIST}/items") == 1


def test_a_query_that_is_not_understood_is_told_and_the_others_go_on(api: WebApi, log: Log) -> None:
    def answer(asked: Asked) -> dict[str, Any]:
        return search(track(asked.query["market"]))

    api.contents = {"search": answer}
    api.fail("search", Reply.error(400, "Bad query"))
    told: list[str] = []
    summary = ingest(profile(api, webapi_queries=["a", "b"]), progress=told.append)
    assert summary["published"] == 2
    assert any("«a» en CO" in line and "400: Bad query" in line for line in told)


def test_where_nothing_is_given_it_is_an_error(api: WebApi, log: Log) -> None:
    with pytest.raises(ServiceError, match="no ha dado nada"):
        ingest(profile(api))


def test_live_ends_where_nothing_is_given(api: WebApi, log: Log) -> None:
    with pytest.raises(ServiceError, match="no ha dado nada"):
        ingest(profile(api), Hands(START), live=True)
    assert len(api.paths()) == 1


def test_polls_by_hand_close_earlier_windows(api: WebApi, log: Log) -> None:
    api.contents = {"search": Reply.of(search(track("a")))}
    settings = profile(api, countries=["CO"])
    ingest(settings)
    summary = ingest(settings, Hands(START + timedelta(hours=3)))
    reached = log.read(settings).group_by("partition").agg(pl.col("event_time").max())
    assert reached["event_time"].to_list() == [SLOT + timedelta(hours=3)] * PARTITIONS
    assert (summary["heartbeats"], summary["late"]) == (PARTITIONS - 1, 0)


def test_an_album_is_asked_for_once_while_it_is_listed(api: WebApi, log: Log) -> None:
    listed = ["x", "y"]
    api.contents = {
        NEW_RELEASES: lambda asked: albums(*({"id": name} for name in listed), None, {"id": []}),
        "albums/x/tracks": lambda asked: page(
            {"uri": f"spotify:track:x{asked.query['offset']}"},
            following=None if asked.query["offset"] == "1" else "more",
        ),
        "albums/y/tracks": Reply.error(404),
    }
    hands = Hands(START, until=START + timedelta(minutes=40))
    settings = profile(api, countries=["CO"], webapi_queries=[], webapi_new_releases=True)
    summary = ingest(settings, hands, live=True)
    assert summary["polls"] == 4
    assert summary["items"] == 4 * 5
    assert summary["left_out"] == {"no_track": 8, "not_given": 4}
    assert api.paths().count("albums/x/tracks") == 2
    assert api.paths().count("albums/y/tracks") == 1


def test_what_a_poll_had_before_it_ended_is_published(api: WebApi, log: Log) -> None:
    api.contents = {"search": Reply.of(search(track("a")))}
    settings = profile(api, webapi_queries=["a", "b"])
    api.fail("search", Reply.of(search(track("a"))))
    api.fail("search", Reply.error(429, "x", "QUOTA_EXCEEDED"))
    with pytest.raises(LimitError, match="QUOTA_EXCEEDED"):
        ingest(settings)
    assert events(log, settings).height == 1
    assert ingest(settings)["skipped"] == 1


def test_a_request_that_breaks_is_left_and_three_in_a_row_end_the_poll(
    api: WebApi, log: Log
) -> None:
    api.contents = {"search": Reply.of(search(track("a")))}
    settings = profile(api)
    api.fail("search", *[Reply(b"{")] * 5)
    with pytest.raises(AwayError, match="no es JSON"):
        ingest(settings)
    assert events(log, settings)["country"].to_list() == ["ES"]
    api.contents = {"search": Reply.error(500)}
    api.asked.clear()
    with pytest.raises(AwayError, match="HTTP 500"):
        ingest(profile(api, webapi_queries=["a", "b"]))
    assert len(api.paths()) == 3 * 5


def test_live_polls_each_interval_and_vouches_for_what_it_has_seen(api: WebApi, log: Log) -> None:
    polls = iter(range(100))
    api.contents = {"search": lambda asked: search(track(f"t{next(polls) % 5}"))}
    hands = Hands(START, until=START + timedelta(hours=2))
    settings = profile(api, countries=["CO"])
    told: list[str] = []
    summary = ingest(settings, hands, live=True, progress=told.append)
    assert (summary["polls"], summary["published"]) == (9, 9)
    found = events(log, settings)
    assert found["event_time"].to_list() == [SLOT + timedelta(minutes=15 * n) for n in range(9)]
    assert not found["late"].any()
    reached = log.read(settings).group_by("partition").agg(pl.col("event_time").max())
    assert reached["event_time"].to_list() == [found["event_time"].max()] * PARTITIONS
    assert hands.waits[0] == 8 * 60
    assert any(line.startswith("Ronda de 2026-05-01T10:15: 1 elementos; 1 evento") for line in told)
    injected = manifest.injected(settings)
    assert injected is not None
    assert injected["events"] == 9
    assert injected["records"] == log.read(settings).height


def test_live_goes_on_after_what_passes_and_ends_with_what_does_not(api: WebApi, log: Log) -> None:
    api.contents = {"search": Reply.of(search(track("a")))}
    api.fail("search", *[Reply.error(502)] * 5)
    hands = Hands(START, until=START + timedelta(minutes=20))
    told: list[str] = []
    settings = profile(api, countries=["CO"])
    assert ingest(settings, hands, live=True, progress=told.append)["published"] == 1
    assert any("Se sigue en el próximo intervalo" in line for line in told)
    api.fail("search", *[Reply.error(401)] * 2)
    with pytest.raises(CredentialsError):
        ingest(settings, Hands(hands.time), live=True)


def test_live_begins_again_where_it_was_killed(api: WebApi, log: Log) -> None:
    api.contents = {"search": Reply.of(search(*(track(f"t{n}") for n in range(9))))}
    settings = profile(api)
    log.room = 7
    with pytest.raises(KilledError):
        ingest(settings, Hands(START), live=True)
    log.room = None
    again = Hands(START + timedelta(minutes=3), until=START + timedelta(minutes=20))
    summary = ingest(settings, again, live=True)
    assert (summary["skipped"], summary["published"]) == (7, 11 + 18)
    found = events(log, settings)
    assert found["event_id"].is_unique().all()
    assert found.height == 36
    injected = manifest.injected(settings)
    assert injected is not None
    assert injected["events"] == 36


def test_live_that_is_asked_to_end_while_it_waits_publishes_no_half_poll(
    api: WebApi, log: Log
) -> None:
    api.contents = {"search": Reply.of(search(track("a")))}
    api.fail("search", Reply.of(search(track("a"))))
    api.fail("search", Reply.error(429, Retry_After="20"))
    hands = Hands(START, until=START + timedelta(seconds=5))
    assert ingest(profile(api), hands, live=True)["polls"] == 0
    assert log.read(profile(api)).is_empty()


def test_a_poll_reads_little_of_a_long_log(
    api: WebApi, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spotify_mlops.sources import standing

    api.contents = {"search": Reply.of(search(*(track(f"t{n}") for n in range(10))))}
    settings = profile(api, countries=["CO"])
    read = standing.read
    counts: list[int] = []

    def counted(*given: Any) -> Iterator[Any]:
        counts.append(0)
        for records in read(*given):
            counts[-1] += len(records)
            yield records

    monkeypatch.setattr(standing, "read", counted)
    ingest(settings, Hands(START, until=START + timedelta(hours=12)), live=True)
    assert log.read(settings).height >= 480
    assert max(counts) <= 10 + PARTITIONS


def test_the_policy_is_said_before_anything_is_asked(api: WebApi, log: Log) -> None:
    told: list[str] = []
    with pytest.raises(ServiceError):
        ingest(profile(api), progress=told.append)
    assert "III.14" in told[0]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"webapi_queries": []}, "No hay nada que pedir"),
        ({"webapi_playlists": {"FR": [LIST]}}, "listas de FR, que no está en countries"),
    ],
)
def test_params_with_which_nothing_can_be_asked_are_refused(
    api: WebApi, log: Log, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ParamsError, match=told):
        ingest(profile(api, **changes))
    assert api.asked == []


@pytest.mark.parametrize(
    "given", ["37i9dQ/x y", "", "https://open.spotify.com/track/", "spotify:playlist:a:b"]
)
def test_what_is_no_playlist_is_refused(given: str) -> None:
    with pytest.raises(ParamsError, match=r"webapi_playlists\.CO\.0"):
        params.load("local", webapi_playlists={"CO": [given]})


def test_too_many_requests_for_an_interval_are_told(api: WebApi) -> None:
    slow = profile(api, webapi_requests_per_minute=1, webapi_interval="1m")
    assert "al menos 2 veces" in str(too_slow(slow))
    assert too_slow(profile(api)) is None
