"""The shared cases of what people bring, each as its README says, through a real ``ingest``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from test_topic import read

from spotify_mlops import sources
from spotify_mlops.config.errors import InputError, ParamsError, UserError
from spotify_mlops.config.params import Params, load
from spotify_mlops.domain.events import Ahead, decode

CASES = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "source_cases"
WEEKLY = {"window": "7d", "window_offset": "1d", "allowed_lateness": "0s"}
DAILY = {"window": "1d", "allowed_lateness": "0s"}

pytestmark = pytest.mark.skipif(
    not CASES.is_dir(), reason="the shared source cases are not on this machine"
)


@dataclass(frozen=True)
class Case:
    """What is run, one ingest after another, and what comes of it."""

    source: str
    runs: tuple[tuple[str, ...], ...]
    published: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    overrides: dict[str, Any] = field(default_factory=dict)
    refused: tuple[type[UserError], str] | None = None
    skipped: int = 0
    tracks: int | None = None
    kinds: tuple[str, ...] = ()


def charts(*runs: str, published: int = 3, **more: Any) -> Case:
    return Case("charts", tuple((run,) for run in runs), published, **{"overrides": WEEKLY} | more)


def history(*run: str, published: int, **more: Any) -> Case:
    return Case("history", (run,), published, **more)


AUDIO = "Streaming_History_Audio_2024_0.json"
EVERY = {
    "charts_blank_tail": charts("colombia.csv", left_out={"blank": 2}),
    "charts_datetime": charts("colombia.csv"),
    "charts_empty_streams_one_row": charts(
        "colombia.csv", refused=(InputError, "colombia.csv, línea 4: Streams = «»")
    ),
    "charts_float_streams": charts("colombia.csv"),
    "charts_folder_download_names": charts("listas", published=6),
    "charts_id_url": charts("colombia.csv", tracks=3),
    "charts_kaggle_regions": charts(
        "charts.csv", published=1, left_out={"viral": 1}, overrides=DAILY
    ),
    "charts_last_day": charts("colombia.csv", refused=(ParamsError, "ÚLTIMO día.*chart_dates")),
    "charts_lower_header": charts("colombia.csv"),
    "charts_name_uk_usa": charts("uk.csv", "usa.csv", "czechia.csv", published=9),
    "charts_semicolon": charts("colombia.csv"),
    "charts_spotify_com": charts("regional-co-weekly-2024-01-04.csv", published=2),
    "charts_tab": charts("colombia.csv"),
    "charts_top200_daily_kaggle2017": charts(
        "data.csv", published=1, left_out={"world": 1}, overrides=DAILY
    ),
    "charts_top50_73": charts(
        "universal_top_spotify_songs.csv", published=1, left_out={"world": 1}, overrides=DAILY
    ),
    "charts_updated_file": charts("v1/colombia.csv", "v2/colombia.csv", published=9, skipped=6),
    "charts_zip": charts("colombia.zip=CO"),
    "hist_1970": history("5.jsonl=CO", published=1, left_out={"unset_clock": 1}),
    "hist_account_data": history(
        "StreamingHistory0.json=CO", published=3, kinds=("play", "play", "skip")
    ),
    "hist_after_simulator": history(AUDIO, published=2),
    "hist_api_playlist": history(
        "top50_co.json=CO", published=1, left_out={"no_track": 1}, kinds=("recommendation",)
    ),
    "hist_bom": history("endsong_0.json", published=2),
    "hist_broken_json": history(
        "endsong_0.json", published=0, refused=(InputError, "línea 43: .*sobra una coma")
    ),
    "hist_country_zz": history(
        "Streaming_History_Audio_2020_0.json", published=2, left_out={"no_country": 1}
    ),
    "hist_ext_csv": history("spotify_history.csv", published=1),
    "hist_folder": history("Spotify Extended Streaming History", published=2),
    "hist_future_time": history("endsong_0.json", published=1, left_out={"future": 1}),
    "hist_lastfm_csv": history("recenttracks-nadie-1715030000.csv=CO", published=2),
    "hist_lastfm_json": history("recenttracks-nadie-1715030000.json=CO", published=1),
    "hist_lb_api": history("listens.json=CO", published=2),
    "hist_lb_dump": history("5.listens=CO", published=1),
    "hist_lb_unmapped_dropped": history("5.jsonl=CO", published=3),
    "hist_recent_null_track": history(
        "recently_played.json=CO", published=1, left_out={"no_track": 1}
    ),
    "hist_same_listen_twice": history(
        "Streaming_History_Audio_2026_0.json", "recently_played.json=CO", published=1,
        left_out={"repeated": 1},
    ),
    "hist_short_trackdone": history(
        "Streaming_History_Audio_2024_1.json", published=2, kinds=("play", "play")
    ),
    "hist_skipped_long": history(AUDIO, published=3, kinds=("play", "play", "skip")),
    "hist_track_url_forms": history("5.jsonl=CO", published=5, tracks=1),
    "hist_zip": history("my_spotify_data.zip", published=2),
}  # fmt: skip
EVENTS = {
    "event_country_xk": {"country": "XK"},
    "event_popularity_float": {"popularity": 73, "count": 2},
    "event_release_0000": {"release_date": None},
}
MakeParams = Callable[..., Params]


def test_every_case_is_here() -> None:
    assert {path.name for path in CASES.iterdir()} == EVERY.keys() | EVENTS.keys()


def ingest(settings: Params, name: str, case: Case) -> list[dict[str, Any]]:
    return [
        sources.ingest_files(settings, case.source, [f"{CASES / name / path}" for path in run])
        for run in case.runs
    ]


@pytest.mark.parametrize("name", EVERY)
def test_a_case_is_as_its_readme_says(local_params: MakeParams, name: str) -> None:
    case = EVERY[name]
    settings = local_params(**case.overrides)
    if name == "hist_after_simulator":
        small = {"simulator_days": 1, "simulator_events": 2000, "simulator_tracks": 50}
        settings = local_params(**small)
        sources.ingest_simulator(settings)
    if case.refused is not None:
        kind, message = case.refused
        with pytest.raises(kind, match=message):
            ingest(settings, name, case)
        if name != "charts_empty_streams_one_row":
            return
        settings = settings.replace(bad_rows="leave_out")
        case = charts("colombia.csv", published=2, left_out={"unreadable": 1})
    done = ingest(settings, name, case)
    for summary in done:
        assert summary["rows"] == summary["events"] + sum(summary["left_out"].values())
        assert summary["events"] == summary["published"] + summary["skipped"]
    assert sum(summary["published"] for summary in done) == case.published
    assert sum(summary["skipped"] for summary in done) == case.skipped
    assert done[-1]["left_out"] == case.left_out
    again = sources.ingest_files(
        settings, case.source, [f"{CASES / name / path}" for path in case.runs[-1]]
    )
    assert again["published"] == 0
    log = decode(read(settings).drop("key"), Ahead.of(settings.windows)).filter(kind="event")
    ours = log.filter(source=case.source).sort("event_time", "event_id")
    assert ours.height == case.published
    if case.tracks is not None:
        assert ours["track_id"].n_unique() == case.tracks
    if case.kinds:
        assert tuple(sorted(ours["event_type"])) == case.kinds
    if name == "hist_after_simulator":
        assert done[0]["late"] == 2


def test_a_song_of_a_chart_and_of_a_history_is_one(local_params: MakeParams) -> None:
    settings = local_params(**WEEKLY)
    case = CASES / "charts_id_url"
    sources.ingest_files(settings, "charts", [case / "colombia.csv"])
    sources.ingest_files(settings, "history", [case / "endsong_0.json"])
    log = decode(read(settings).drop("key"), Ahead.of(settings.windows)).filter(kind="event")
    (track,) = log.filter(source="history")["track_id"]
    assert log.filter(track_id=track).height == 2


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_is_one_whatever_is_odd_in_it(name: str) -> None:
    import polars as pl

    from logs import APPENDED, to_log

    value = (CASES / name / "event.json").read_bytes().strip()
    batch = to_log([value], [0], None, 1).with_columns(append_time=pl.lit(APPENDED))
    row = decode(batch, Ahead.of(load("local").windows)).row(0, named=True)
    assert row["kind"] == "event"
    assert {name: row[name] for name in EVENTS[name]} == EVENTS[name]
