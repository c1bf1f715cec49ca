"""Files of each shape, damaged at random: never a traceback, and no row is lost without a word."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from source_files import read
from spotify_mlops.config.errors import UserError
from spotify_mlops.sources import history, tables
from spotify_mlops.sources.charts.shapes import SHAPES
from spotify_mlops.sources.history import entries, extended
from thorough import examples

NAMES = {
    "charts.spotify.com": "regional-co-weekly-2024-01-04.csv",
    "spotifycharts.com": "regional-co-weekly-2024-01-05--2024-01-12.csv",
}
COUNTABLE = [shape for shape in SHAPES if not shape.viral]

number = st.one_of(
    st.integers(1, 10**9).map(str),
    st.sampled_from(["900000.0", "1.234.567", "1,234", "1 234", "", "-3", "x", "9" * 30, "0"]),
)
day = st.sampled_from(
    ["2024-01-05", "2024/01/05", "2024-01-05 00:00:00", "2024-01-12", "1970-01-01", "2099-01-01",
     "05/01/2024", "", "2024-13-45"]
)  # fmt: skip
# A carriage return that stands alone and unquoted ends a line.
text = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\r"), max_size=8
)
cells: dict[str, st.SearchStrategy[str]] = {
    "streams": number,
    "popularity": number,
    "rank": number,
    "date": day,
    "track": st.one_of(
        st.sampled_from(["", "spotify:track:abc", "https://youtu.be/x", "spotify:episode:e"]), text
    ),
    "region": st.sampled_from(["co", "Global", "Spain", "", "Narnia", "United Kingdom"]),
    "chart": st.sampled_from(["top200", "viral50", ""]),
    "title": text,
    "artist": text,
}


@st.composite
def charts(draw: st.DrawFn) -> tuple[str, bytes, int]:
    """Draw a chart: the name of its file, its content, how many rows it has."""
    shape = draw(st.sampled_from(COUNTABLE))
    rows = draw(st.lists(st.tuples(*(cells[role] for role in shape.columns.values())), max_size=8))
    out = io.StringIO()
    separator = draw(st.sampled_from([",", ";", "\t"]))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    writer = csv.writer(out, delimiter=separator, quoting=quoting, lineterminator="\n")  # type: ignore[arg-type]
    writer.writerows([list(shape.columns), *rows])
    return NAMES.get(shape.name, "colombia.csv"), out.getvalue().encode(), len(rows)


value = st.one_of(
    st.none(), st.booleans(), st.integers(-10, 10**12), st.floats(), text,
    st.sampled_from(["2024-05-06T18:43:10Z", "1715020990", "spotify:track:abc", "CO", "ZZ"]),
    st.just({"track_name": "N", "artist_name": "A", "additional_info": {}}),
    st.just({"uri": "spotify:track:abc", "name": "N"}), st.just([1, {"a": []}]),
)  # fmt: skip
listen = st.fixed_dictionaries(
    {},
    optional={
        name: value
        for name in ("ts", "ms_played", "conn_country", "spotify_track_uri", "skipped", "endTime",
                     "artistName", "trackName", "played_at", "track", "added_at", "listened_at",
                     "track_metadata", "artist", "name", "date", "items", "payload", "album",
                     "recenttracks", "@attr", "reason_end", "tracks", "recording_msid")
    },
)  # fmt: skip
good = st.just(
    {"ts": "2024-05-06T18:43:10Z", "ms_played": 31_000, "conn_country": "CO",
     "spotify_track_uri": "spotify:track:abc"}
)  # fmt: skip


@st.composite
def histories(draw: st.DrawFn) -> bytes:
    """Draw a history in JSON: an array, or one object a line."""
    listens = draw(st.lists(st.one_of(good, listen), max_size=6))
    written = [json.dumps(item) for item in listens]
    if draw(st.booleans()):
        return "\n".join(written).encode()
    comma = draw(st.sampled_from([",", ", ", " ,\n"]))
    return f"[{comma.join(written)}]".encode()


damage = st.lists(
    st.tuples(
        st.sampled_from(["cut", "flip", "insert", "repeat"]), st.floats(0, 1), st.binary(max_size=3)
    ),
    max_size=4,
)


def damaged(content: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    for kind, share, other in changes:
        at = int(share * len(content))
        if kind == "cut":
            content = content[:at]
        elif kind == "flip":
            content = content[:at] + other + content[at + len(other) :]
        elif kind == "insert":
            content = content[:at] + other + content[at:]
        else:
            content += content[at:]
    return content


def wrapped(name: str, content: bytes, kind: str) -> tuple[str, bytes]:
    if kind == "gz":
        return f"{name}.gz", gzip.compress(content, mtime=0)
    if kind == "zip":
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr(name, content)
        return f"{name}.zip", out.getvalue()
    return name, content


def tried(folder: Path, source: str, name: str, content: bytes, **changes: Any) -> Any:
    """Read a file; `read` itself asserts that no row is unaccounted for."""
    path = folder / name
    path.write_bytes(content)
    try:
        return read(source, f"{path}=CO", **changes)
    except UserError:
        return None


profiles = st.sampled_from(["charts", "charts_daily"])


@given(charts(), st.sampled_from(["leave_out", "refuse"]), profiles)
@examples(200)
def test_every_row_of_a_chart_is_an_event_or_left_out(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: tuple[str, bytes, int],
    bad_rows: str,
    profile: str,
) -> None:
    name, content, rows = drawn
    found = tried(
        tmp_path_factory.getbasetemp(), "charts", name, content, profile=profile, bad_rows=bad_rows
    )
    if found is not None:
        assert found[1].account.rows == rows


@given(charts(), damage, damage, st.sampled_from(["", "gz", "zip"]), st.sampled_from([50, 4 << 20]))
@examples(300)
def test_a_damaged_chart_is_read_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: tuple[str, bytes, int],
    inner: list[tuple[str, float, bytes]],
    outer: list[tuple[str, float, bytes]],
    kind: str,
    block: int,
) -> None:
    name, content, _ = drawn
    name, content = wrapped(name, damaged(content, inner), kind)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tables, "BLOCK", block)
        tried(
            tmp_path_factory.getbasetemp(), "charts", name, damaged(content, outer if kind else []),
            bad_rows="leave_out",
        )  # fmt: skip


@given(histories(), damage, st.sampled_from(["", "gz", "zip"]), st.sampled_from([40, 4 << 20]))
@examples(300)
def test_a_damaged_history_is_read_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory,
    content: bytes,
    inner: list[tuple[str, float, bytes]],
    kind: str,
    block: int,
) -> None:
    name, content = wrapped("endsong_0.json", damaged(content, inner), kind)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(entries, "BLOCK", block)
        patched.setattr(entries, "_LARGEST_ENTRY", 4 * block)
        tried(
            tmp_path_factory.getbasetemp(), "history", name, content, profile="local",
            bad_rows="leave_out",
        )  # fmt: skip


@given(st.lists(st.one_of(good, listen), min_size=1, max_size=6), st.sampled_from([None, 1]))
@examples(200)
def test_every_entry_is_an_event_or_left_out(
    tmp_path_factory: pytest.TempPathFactory, listens: list[dict[str, Any]], indent: int | None
) -> None:
    plain = [{k: v for k, v in item.items() if k not in CONTAINERS} for item in listens]
    content = json.dumps(plain, indent=indent).encode()
    found = tried(
        tmp_path_factory.getbasetemp(), "history", "endsong_0.json", content, profile="local",
        bad_rows="leave_out",
    )  # fmt: skip
    if found is not None:
        assert found[1].account.rows == len(plain)


CONTAINERS = {"items", "payload", "recenttracks", "tracks", "track"}
"""What may hold other entries, so that one is several."""


@given(st.lists(st.one_of(good, listen), max_size=8), st.sampled_from(["CO", "MX"]))
@examples(200)
def test_streams_read_as_columns_are_those_read_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, listens: list[dict[str, Any]], country: str
) -> None:
    varied = [
        item | {"conn_country": country, "ms_played": ms, "reason_end": end}
        for item in listens
        for ms, end in ((31_000, None), (21_000, "trackdone"), (0, "trackdone"), (None, "fwdbtn"))
    ]
    content = json.dumps([*listens, *varied]).encode()
    folder = tmp_path_factory.getbasetemp()
    changes = {"profile": "local", "bad_rows": "leave_out"}
    fast = tried(folder, "history", "endsong_0.json", content, **changes)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(history, "ordinary_streams", lambda entries: extended.ordinary_streams([]))
        slow = tried(folder, "history", "endsong_0.json", content, **changes)
    assert (fast is None) == (slow is None)
    if fast is not None:
        assert fast[0].equals(slow[0])
        assert fast[1].account.to_dict() == slow[1].account.to_dict()
