"""Answers of any content: an item is an event or left out, whatever stands where it should be."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spotify_mlops.domain.events import EVENT_COLUMNS
from spotify_mlops.sources.account import FileAccount
from spotify_mlops.sources.webapi.answers import Shown
from thorough import examples
from webapi_server import episode, local_file, member, played, track

SLOT = datetime(2026, 5, 1, tzinfo=UTC)
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=20)
    | st.sampled_from(["spotify:track:a", "spotify:episode:b", "2026-05-01T08:00:00Z", ""]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["id", "uri", "type", "name", "items"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
FIELDS = ["id", "uri", "type", "name", "artists", "album", "popularity", "linked_from", "is_local"]


@st.composite
def tracks(draw: st.DrawFn) -> Any:
    whole = draw(st.sampled_from([track("a"), track("b"), episode("e"), local_file()]))
    return (
        draw(anything)
        if draw(st.booleans())
        else whole | draw(st.dictionaries(st.sampled_from(FIELDS), anything, max_size=3))
    )


@st.composite
def members(draw: st.DrawFn) -> Any:
    item = draw(st.sampled_from([member, played]))
    found = (
        member(draw(tracks()), since_2026=draw(st.booleans()))
        if item is member
        else played(draw(tracks()), draw(anything))
    )
    return draw(anything) if draw(st.integers(0, 4)) == 0 else found


@given(st.lists(members(), max_size=6), st.sampled_from(["recent", "playlist", "search", "album"]))
@examples(400)
def test_every_item_is_accounted_for(found: list[Any], kind: str) -> None:
    file = FileAccount("CO")
    shown = Shown(file, "CO", "play" if kind == "recent" else "search_result", SLOT)
    match kind:
        case "recent":
            shown.recent({"items": found})
        case "playlist":
            shown.playlist({"items": found}, "list", 0)
        case "search":
            shown.search({"tracks": {"items": found}}, "query")
        case "album":
            shown.album({"id": "x", "release_date": 7}, found)
    events = shown.events()
    file.events = events.height
    assert file.rows == len(found)
    assert file.missing() == 0
    assert events.select(*EVENT_COLUMNS).height == events["event_id"].drop_nulls().len()
    assert events["popularity"].drop_nulls().is_between(0, 100).all()


@given(anything)
@examples(100)
def test_an_answer_of_another_shape_shows_nothing(content: Any) -> None:
    shown = Shown(FileAccount("CO"), "CO", "search_result", SLOT)
    shown.search({"tracks": content}, "query")
    shown.playlist({"items": content}, "list", 0)
    assert shown.file.rows == shown.events().height + shown.file.left_out.total()
