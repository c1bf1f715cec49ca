"""One song is one identifier, however it is written."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_mlops.domain import tracks
from thorough import examples

ID = "6RjKVXi31fui9m4dbiGRrL"


@pytest.mark.parametrize(
    "text",
    [
        ID,
        f" {ID} ",
        f"spotify:track:{ID}",
        f"SPOTIFY:TRACK:{ID}",
        f"spotify:user:someone:track:{ID}",
        f"https://open.spotify.com/track/{ID}",
        f"http://open.spotify.com/track/{ID}",
        f"open.spotify.com/track/{ID}/",
        f"https://open.spotify.com/track/{ID}?si=abc&utm=1",
        f"https://open.spotify.com/intl-es/track/{ID}#x",
        f"https://open.spotify.com/intl-pt-BR/track/{ID}",
        f"https://open.spotify.com/embed/track/{ID}",
        f"https://play.spotify.com/track/{ID}",
        f"https://api.spotify.com/v1/tracks/{ID}",
    ],
)
def test_every_way_of_writing_a_track_is_its_identifier(text: str) -> None:
    assert tracks.refer(text) == (tracks.Kind.TRACK, ID)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "none"),
        (None, "none"),
        ("spotify:track:", "none"),
        ("spotify:track:a b", "none"),
        (f"spotify:album:{ID}", "none"),
        (f"https://open.spotify.com/artist/{ID}", "none"),
        ("https://www.youtube.com/watch?v=x", "none"),
        (f"spotify:episode:{ID}", "episode"),
        (f"https://open.spotify.com/episode/{ID}?si=1", "episode"),
        ("spotify:local:Artist:Album:Title:210", "local"),
        (f"spotify:chapter:{ID}", "chapter"),
    ],
)
def test_what_is_no_track_is_told_apart(text: str | None, kind: str) -> None:
    assert tracks.refer(text) == (tracks.Kind(kind), None)


def test_columns_are_read_as_each_of_their_values() -> None:
    texts = [f"spotify:track:{ID}", None, ID, "spotify:episode:x"]
    found = tracks.references(pl.Series(texts))
    assert found.rows() == [(kind.value, track) for kind, track in map(tracks.refer, texts)]
    named = tracks.names(pl.Series(["A", "a", None, ""]), pl.Series(["N", " n", "N", "N"]))
    assert named.to_list() == [tracks.by_name("A", "N")] * 2 + [None, None]
    assert tracks.by_name("A", "B C") != tracks.by_name("A B", "C")


PIECES = [
    "https://", "http://", "open.spotify.com/", "track/", "intl-es/", "spotify:", "track:",
    "episode:", ID, "x", "?si=1", " ", "\n", "/", "ñ", "https://open.spotify.com/track/",
]  # fmt: skip


@examples(100)
@given(st.lists(st.none() | st.lists(st.sampled_from(PIECES), max_size=5).map("".join)))
def test_columns_are_read_as_each_of_their_values_however_written(texts: list[str | None]) -> None:
    found = tracks.references(pl.Series(texts, dtype=pl.String))
    assert found.rows() == [(kind.value, track) for kind, track in map(tracks.refer, texts)]
