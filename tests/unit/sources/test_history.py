"""Listening histories of every generation as events."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from source_files import read, write
from spotify_mlops.config.errors import InputError
from spotify_mlops.domain import tracks
from spotify_mlops.domain.events import EVENT_COLUMNS
from spotify_mlops.sources.history import entries

ROOT = Path(__file__).resolve().parents[3]
REAL = ROOT.parent / "shared" / "data" / "history_exports"
LISTENS = {
    "listenbrainz_listens.jsonl": 2,
    "spotify_recently_played_submitted.json": 1,
    "spotify_skipped_tracks.json": 13,  # one of the 15 stands there three times
    "spotify_streaming_2023.json": 5,
    "spotify_streaming_endsong_0.json": 5,
}
Record = dict[str, Any]


def stream(**changes: object) -> Record:
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


def listen(msid: str = "m1", **changes: object) -> Record:
    return {
        "listened_at": 1_715_020_990,
        "track_metadata": {"track_name": "N", "artist_name": "A", "additional_info": {}},
        "recording_msid": msid,
    } | changes


def scrobble(**changes: object) -> Record:
    return {
        "artist": {"mbid": "", "#text": "A"}, "album": {"#text": ""}, "name": "N",
        "date": {"uts": "1715020990", "#text": "06 May 2024, 18:43"},
    } | changes  # fmt: skip


def played(**changes: object) -> Record:
    track = {"uri": "spotify:track:abc", "name": "N", "artists": [{"name": "A"}], "album": None}
    return {"played_at": "2024-04-20T18:15:22.110Z", "track": track} | changes


def save(folder: Path, content: object, name: str = "endsong_0.json", **how: Any) -> Path:
    return write(folder, name, json.dumps(content, **how))


def test_streams_become_plays_and_skips_in_event_time_order(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        [
            stream(),
            stream(ts="2023-01-01T00:00:00Z", ms_played=1000),
            stream(spotify_track_uri=None),
        ],
    )
    events, gathered = read("history", path, "local")
    assert gathered.account.told() == "2 eventos, 1 sin canción"
    assert gathered.account.files[0].what == "historial ampliado de Spotify"
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


@pytest.mark.parametrize(
    ("heard", "kind"),
    [
        ({"ms_played": 201_000, "skipped": True, "reason_end": "fwdbtn"}, "play"),
        ({"ms_played": 30_000, "skipped": True}, "play"),
        ({"ms_played": 29_999, "skipped": False}, "skip"),
        ({"ms_played": 21_000, "reason_end": "trackdone"}, "play"),
        ({"ms_played": 0, "reason_end": "trackdone"}, "skip"),
        ({"ms_played": None, "skipped": True}, "skip"),
        ({"ms_played": None, "skipped": None}, "play"),
        ({"ms_played": "31000", "skipped": True}, "play"),
    ],
)
def test_thirty_seconds_are_a_play_whatever_the_flag(
    tmp_path: Path, heard: Record, kind: str
) -> None:
    events, _ = read("history", save(tmp_path, [stream(**heard)]), "local")
    assert events["event_type"].to_list() == [kind]


def test_what_is_no_song_is_left_out_by_what_it_is(tmp_path: Path) -> None:
    content = [
        stream(),
        stream(spotify_track_uri=None, spotify_episode_uri="spotify:episode:e", episode_name="E"),
        stream(spotify_track_uri=None, audiobook_uri="spotify:show:b", audiobook_title="B"),
        stream(spotify_track_uri="spotify:local:A:L:N:1"),
        stream(spotify_track_uri=None),
        stream(conn_country="ZZ"),
        stream(conn_country=""),
        stream(conn_country=None),
        stream(ts="1970-01-01T00:00:00Z"),
        stream(ts="2099-01-01T00:00:00Z"),
        stream(),
    ]
    _, gathered = read("history", save(tmp_path, content), "local")
    account = gathered.account
    assert account.left_out() == {
        "no_country": 3, "no_track": 1, "podcast": 1, "audiobook": 1, "local_file": 1,
        "unset_clock": 1, "future": 1, "repeated": 1,
    }  # fmt: skip
    assert account.codes() == {"": 2, "ZZ": 1}
    assert "3 sin país (vacío: 2, ZZ: 1)" in account.told()
    assert "endsong_0.json=CO" in account.notes[0]
    assert account.files[0].named["future"] == ["entrada 10: 2099-01-01 00:00"]
    said, _ = read("history", f"{tmp_path / 'endsong_0.json'}=MX", "local")
    assert said["country"].to_list() == ["CO", "MX"]


def test_account_data_has_no_identifiers(tmp_path: Path) -> None:
    entry = {"endTime": "2024-05-06 18:46", "artistName": "A", "trackName": "N", "msPlayed": 4000}
    content = [
        entry,
        entry | {"msPlayed": 60_000},
        entry | {"msPlayed": 60_000},
        {"endTime": "2024-05-06 18:46", "podcastName": "P", "episodeName": "E", "msPlayed": 9},
    ]
    path = save(tmp_path, content, "StreamingHistory_music_0.json")
    events, gathered = read("history", f"{path}=CO", "local")
    assert events["event_type"].to_list() == ["play", "skip"]
    assert events["track_id"].unique().to_list() == [tracks.by_name("a", "n")]
    assert gathered.account.left_out() == {"podcast": 1, "repeated": 1}
    nothing, gathered = read("history", path, "local")
    assert nothing.is_empty()
    assert gathered.account.left_out() == {"no_country": 3, "podcast": 1}


@pytest.mark.parametrize(
    ("changes", "track"),
    [
        ({"additional_info": {"spotify_id": "https://open.spotify.com/track/abc"}}, "abc"),
        (
            {"additional_info": {"spotify_id": "http://open.spotify.com/intl-es/track/abc?si=1"}},
            "abc",
        ),
        ({"additional_info": {"origin_url": "https://open.spotify.com/track/abc"}}, "abc"),
        ({"additional_info": {"origin_url": "https://youtu.be/x"}}, "msid:m1"),
        (
            {
                "mbid_mapping": {"recording_mbid": "b1"},
                "additional_info": {"recording_msid": "m2", "recording_mbid": "b2"},
            },
            "mbid:b1",
        ),
        ({"mbid_mapping": None, "additional_info": None}, "msid:m1"),
    ],
)
def test_listenbrainz_names_a_song_by_the_best_it_has(
    tmp_path: Path, changes: Record, track: str
) -> None:
    entry = listen(track_metadata={"track_name": "N", "artist_name": "A"} | changes)
    events, _ = read("history", f"{write(tmp_path, '5.jsonl', json.dumps(entry))}=CO", "local")
    assert events["track_id"].to_list() == [track]


def test_the_msid_may_stand_anywhere(tmp_path: Path) -> None:
    data = {"track_name": "N", "artist_name": "A"}
    lines = [
        listen(),
        listen(None, track_metadata=data | {"recording_msid": "m1"}),
        listen(None, track_metadata=data | {"additional_info": {"recording_msid": "m1"}}),
        {"timestamp": 1_715_020_990, "track_metadata": data, "recording_msid": "m1"},
    ]
    path = write(tmp_path, "5.listens", "\n".join(map(json.dumps, lines)))
    events, gathered = read("history", f"{path}=CO", "local")
    assert events["track_id"].to_list() == ["msid:m1"]
    assert gathered.account.left_out() == {"repeated": 3}


CONTAINERS = [
    ({"payload": {"count": 1, "listens": [listen()]}}, 1),
    ({"items": [played(), played(track=None)], "next": None}, 1),
    ([{"items": [played()]}, {"items": [played(played_at="2024-04-20T18:16:00Z")]}], 2),
    ([{"track": [scrobble(), scrobble(date=None, **{"@attr": {"nowplaying": "true"}})]}], 1),
    ({"recenttracks": {"track": scrobble(artist={"name": "A"}), "@attr": {"page": "1"}}}, 1),
    ({"tracks": {"items": [{"added_at": "2024-05-06T00:00:00Z", "track": played()["track"]}]}}, 1),
    ({"items": {"items": [{"added_at": "2024-05-06T00:00:00Z", "item": played()["track"]}]}}, 1),
]


def test_of_an_export_of_listenbrainz_the_listens_are_taken(tmp_path: Path) -> None:
    archive = tmp_path / "listenbrainz_nadie.zip"
    loved = {"recording_msid": "m1", "score": 1, "track_metadata": listen()["track_metadata"]}
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("user.json", '{"user_id": 1, "username": "nadie"}')
        zipped.writestr("feedback.jsonl", json.dumps(loved) + "\n" + json.dumps(loved))
        zipped.writestr(
            "listens/2024/5.jsonl", json.dumps(listen()) + "\n" + json.dumps(listen("m2"))
        )
    events, gathered = read("history", f"{archive}=CO", "local")
    assert events["track_id"].to_list() == ["msid:m1", "msid:m2"]
    assert [file.name for file in gathered.account.files] == [
        "listenbrainz_nadie.zip/listens/2024/5.jsonl"
    ]
    assert len(gathered.account.not_read) == 2


@pytest.mark.parametrize(("content", "count"), CONTAINERS, ids=range(len(CONTAINERS)))
@pytest.mark.parametrize("indent", [None, 2])
def test_what_holds_the_entries_is_looked_into(
    tmp_path: Path, content: object, count: int, indent: int | None
) -> None:
    path = save(tmp_path, content, "saved.json", indent=indent)
    events, _ = read("history", f"{path}=CO", "local")
    assert events.height == count


def test_a_playlist_recommends_and_has_popularity(tmp_path: Path) -> None:
    track = played()["track"] | {"popularity": 88}
    content = {"items": [{"added_at": "2024-05-06T00:00:00Z", "track": track}]}
    events, _ = read("history", f"{save(tmp_path, content, 'top50.json')}=CO", "local")
    assert events.select("event_type", "popularity").rows() == [("recommendation", 88)]


def test_the_same_listen_of_two_exports_is_one_event(tmp_path: Path) -> None:
    one = save(tmp_path, [stream()], "Streaming_History_Audio_2024_0.json")
    two = save(tmp_path, {"items": [played()]}, "recently_played.json")
    events, gathered = read("history", [one, f"{two}=CO"], "local")
    assert events["event_time"].to_list() == [datetime(2024, 4, 20, 18, 15, 22, tzinfo=UTC)]
    assert gathered.account.left_out() == {"repeated": 1}


def rows_of(content: list[Record], separator: str = ",") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(content[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows(content)
    return text.getvalue()


GHAN = "uts,utc_time,artist,artist_mbid,album,album_mbid,track,track_mbid\n"


@pytest.mark.parametrize(
    ("text", "track", "kind"),
    [
        (rows_of([stream(ts="2024-04-20 18:15:22+00:00", skipped="False")]), "abc", "play"),
        (rows_of([stream(ms_played="", skipped="True")], ";"), "abc", "skip"),
        (
            "spotify_track_uri,ts,ms_played,track_name,artist_name,skipped\n"
            "abc,2024-04-20 18:15:22,31000,N,A,TRUE\n",
            "abc",
            "play",
        ),
        ("endTime,artistName,trackName,msPlayed\n2024-05-06 18:46,A,N,40000\n", None, "play"),
        (GHAN + '"1715020990","06 May 2024, 18:43","A","","","","N",""\n', None, "play"),
        ("A,Disco,N,06 May 2024 18:43\nA,Disco,O,06 May 2024 18:47\n", None, "play"),
    ],
)
def test_histories_come_as_csv(tmp_path: Path, text: str, track: str | None, kind: str) -> None:
    events, gathered = read("history", f"{write(tmp_path, 'h.csv', text)}=CO", "local")
    assert events["track_id"][0] == (track or tracks.by_name("A", "N"))
    assert events["event_type"][0] == kind
    assert gathered.account.rows == len(text.splitlines()) - (not text.startswith("A,"))


def test_an_export_is_read_as_it_comes(tmp_path: Path) -> None:
    folder = tmp_path / "MyData"
    folder.mkdir()
    save(folder, [stream()], "Streaming_History_Audio_2024_0.json", indent=1)
    save(folder, [stream(ts="2024-05-01T00:00:00Z")], "Streaming_History_Video_2024.json")
    save(folder, {"playlists": [{"name": "x", "items": [{"track": {"trackName": "y"}}]}]}, "P.json")
    save(folder, {"email": "nobody@example.org"}, "Userdata.json")
    write(folder, "ReadMeFirst.pdf", b"%PDF-1.4")
    write(folder, ".DS_Store", b"\0\0")
    events, gathered = read("history", folder, "local")
    assert events.height == 2
    assert {item.name for item in gathered.account.not_read} == {
        "P.json", "Userdata.json", "ReadMeFirst.pdf"
    }  # fmt: skip
    archive = tmp_path / "my_spotify_data.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in folder.iterdir():
            zipped.write(path, f"MyData/{path.name}")
    assert read("history", archive, "local")[0].equals(events)
    (folder / "endsong_1.json").write_text("[{", encoding="utf-8")
    with pytest.raises(InputError, match=r"endsong_1\.json, línea 1: no es JSON \(está cortado"):
        read("history", folder, "local")


PRETTY = json.dumps([stream(), stream(ts="2024-04-21T18:15:22Z")], indent=1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "está vacío"),
        (" \n ", "está vacío"),
        ("{", r"línea 1: no es JSON \(está cortado"),
        ("3", "línea 1: no es JSON"),
        ("hola\n", "línea 1: no es JSON"),
        ("a,b\n1,2\n", "línea 1: no es JSON"),
        ('[{"a": 1}]', "entrada 1: no es una reproducción"),
        ("[3, 4]", "entrada 1: no es una reproducción"),
        ('[{"ts": "ayer", "spotify_track_uri": "abc"}]', "entrada 1: ts = «ayer», se esperaba una"),
        (PRETTY[:-3], r"línea 22: no es JSON \(está cortado"),
        (PRETTY.replace("}\n]", "},\n]"), r"línea 23: no es JSON \(sobra una coma"),
        (PRETTY.replace('"A",', '"A"', 1), r"línea 8: no es JSON \(falta una coma o una llave"),
        (PRETTY + "x", r"línea 24: no es JSON \(sigue algo"),
        (PRETTY.encode("utf-16"), "UTF-16"),
        (PRETTY.encode("utf-16-le"), "UTF-16"),
        (PRETTY.replace('"A"', '"ñ"').encode("latin-1"), r"no está en UTF-8: byte \d+ .*línea 7"),
        (json.dumps(listen()) + "\n{\n", "línea 2: no es JSON"),
        ("[" * 20_000, r"\(anida"),
        ('{"items": ' + "[" * 20_000, r"\(anida|cortado"),
        ('{"ts": 1}\n' + "[" * 20_000, "línea 2"),
        ("[" + '{"a":' * 20_000, r"\(anida|cortado"),
    ],
)
def test_other_files_are_refused_with_what_is_wrong_and_where(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    with pytest.raises(InputError, match=rf"h\.json.*{message}"):
        read("history", write(tmp_path, "h.json", content), "local")


def test_entries_that_cannot_be_read_are_left_out_where_the_params_say_so(tmp_path: Path) -> None:
    path = save(tmp_path, [stream(), stream(ts="ayer"), 7, {"a": 1}])
    _, gathered = read("history", path, "local", bad_rows="leave_out")
    assert gathered.account.left_out() == {"unreadable": 3}
    with pytest.raises(InputError, match="entrada 2: ts = «ayer»"):
        read("history", path, "local")


def test_a_byte_order_mark_is_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, "endsong_0.json", b"\xef\xbb\xbf" + PRETTY.encode())
    assert read("history", path, "local")[0].height == 2


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("block", [300, 2000])
def test_a_long_array_is_read_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, indent: int | None
) -> None:
    nested = played(track=played()["track"] | {"artists": [{"name": "},{"}, {"name": '\\"},'}]})
    content = []
    for number in range(60):
        time = f"2024-05-06T18:{number:02}:00Z"
        content += [stream(ts=time), nested | {"played_at": time.replace("05-06", "05-07")}]
    path = save(tmp_path, content, indent=indent)
    monkeypatch.setattr(entries, "BLOCK", block)
    monkeypatch.setattr(entries, "_LARGEST_ENTRY", 4 * block)
    events, _ = read("history", f"{path}=CO", "local")
    assert events.height == 120
    assert events["artist_name"][-1] == '},{, \\"},'
    broken = path.read_text(encoding="utf-8")[:-40]
    with pytest.raises(InputError, match="no es JSON"):
        read("history", f"{write(tmp_path, 'cut.json', broken)}=CO", "local")


@pytest.mark.skipif(not REAL.is_dir(), reason="the real exports are not on this machine")
def test_every_published_format_is_read() -> None:
    for path in sorted(REAL.iterdir()):
        events, _ = read("history", f"{path}=CO", "local")
        assert events.height == LISTENS[path.name]
        assert events["event_time"].is_sorted()
        assert not events["track_id"].str.contains(":track:").any()
