"""The Web API into a real Kafka and through the graph: once, whole, whatever kills it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from test_topic import read
from worlds import command, content

import commands
from hands import Hands
from spotify_mlops.config.errors import ParamsError
from spotify_mlops.config.params import Params
from spotify_mlops.domain import labels
from spotify_mlops.domain.events import Ahead, decode
from spotify_mlops.domain.windows import Windowing
from spotify_mlops.io.bigquery import tables
from spotify_mlops.model import dataset
from spotify_mlops.operations import apps, audit, bounded
from spotify_mlops.sources import manifest
from spotify_mlops.sources.webapi import ingest_webapi
from webapi_server import CLIENT, ENVIRONMENT, REFRESH, Asked, WebApi, search, serving, track
from webapi_world import Answers

START = datetime(2026, 1, 7, tzinfo=UTC)
HOURS = 5
LIST = "37i9dQZEVXbOa2lmxNORXQ"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebApi]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with serving() as found:
        yield found


def make(make_params: Callable[..., Params], api: WebApi, **changes: Any) -> Params:
    small: dict[str, Any] = {
        "countries": ["CO", "ES"],
        "lags": [1, 2],
        "target": "api",
        "horizon": 1,
        "simulator_tracks": 80,
        "simulator_days": 3,
        "webapi_address": api.address,
        "webapi_queries": ["a", "b"],
        "webapi_playlists": {"CO": [LIST], "ES": [LIST]},
        "webapi_listener_country": "ES",
    }
    return make_params(**small | changes)


def events(settings: Params) -> pl.DataFrame:
    records = read(settings).drop("key")
    return decode(records, Ahead.of(settings.windows)).filter(kind="event")


def test_live_polls_close_windows_that_the_graph_writes(
    api: WebApi, local_params: Callable[..., Params]
) -> None:
    settings = make(local_params, api)
    hands = Hands(START, until=START + timedelta(hours=HOURS))
    Answers(settings, lambda: hands.time).install(api)
    summary = ingest_webapi(settings, live=True, clock=hands.clock())
    assert summary["polls"] == 4 * HOURS
    assert summary["items"] == summary["events"] + sum(summary["left_out"].values())
    found = events(settings)
    assert found.height == summary["published"] == summary["events"] - summary["skipped"]
    assert found["event_id"].is_unique().all()
    done = bounded.run(settings)
    assert done.records == read(settings).height
    report = audit.audit(settings)
    assert report.holds
    injected = manifest.injected(settings)
    assert injected is not None
    assert (injected["events"], injected["late"]) == (found.height, 0)
    rows = content(settings, tables.features(settings.windows))
    windows = [START + timedelta(hours=hour) for hour in range(HOURS - 1)]
    assert set(windows) <= set(rows["window_start"].unique())
    with pytest.raises(ParamsError, match="webapi_training_allowed=true"):
        dataset.read(settings)
    features, known = dataset.read(settings.replace(webapi_training_allowed=True))
    assert features.height == rows.height
    until = dataset.read_closed_until(settings)
    assert until is not None
    levels = dataset.thresholds(settings.model)
    wanted = labels.label(features, 1, Windowing.of(settings.windows), until, levels)
    assert known.equals(wanted.select(known.columns))
    assert {"Alta", "Media"} <= set(known["level"]) <= set(labels.LEVELS)
    assert known["label_score"].null_count() == 0
    again = Hands(hands.time - timedelta(minutes=15))
    Answers(settings, lambda: again.time).install(api)
    repeated = ingest_webapi(settings, clock=again.clock())
    assert (repeated["published"], repeated["skipped"]) == (0, repeated["events"])


def test_a_live_command_that_is_killed_goes_on_where_it_was(
    api: WebApi, local_params: Callable[..., Params]
) -> None:
    polls = 0

    def answer(asked: Asked) -> dict[str, Any]:
        nonlocal polls
        polls += 1
        return search(*(track(f"t{number}") for number in range(10)))

    api.contents = {"search": answer}
    settings = make(
        local_params, api, webapi_playlists={}, webapi_listener_country=None,
        webapi_new_releases=False, webapi_interval="2s", webapi_requests_per_minute=6000,
    )  # fmt: skip
    file = str(apps.params_file(settings))
    line = [sys.executable, "-m", "spotify_mlops", "ingest", "webapi", "--live", "--json"]
    told = ""
    for signalled, wanted in ((signal.SIGKILL, 12), (signal.SIGKILL, 24), (signal.SIGTERM, 36)):
        process = subprocess.Popen(
            [*line, "--params", file], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        while polls < wanted:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(signalled)
        output, errors = process.communicate(timeout=60)
        told += output + errors
    summary = json.loads(output)
    assert process.returncode == 0
    assert summary["items"] == summary["events"] + sum(summary["left_out"].values())
    found = events(settings)
    assert found["event_id"].is_unique().all()
    whole = found.group_by("event_time").len()
    assert set(whole["len"]) <= {10, 20}
    for secret in (CLIENT[1], REFRESH):
        assert secret not in told


def test_one_poll_by_command(api: WebApi, local_params: Callable[..., Params]) -> None:
    api.contents = {"search": lambda asked: search(track("a"), None)}
    settings = make(local_params, api, webapi_new_releases=False)
    settings = settings.replace(webapi_listener_country=None, webapi_interval="12h")
    done = command(settings, "ingest", "webapi", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["items"], summary["published"]) == (8, 2)
    assert summary["left_out"] == {"no_track": 4, "repeated": 2}
    assert "III.14" in done.stderr
    plain = command(settings, "ingest", "webapi", "--close")
    assert plain.stdout.startswith("2 eventos, 4 sin canción, 2 repetidas: 0 publicados, 2 ya esta")
    without = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    words = ["ingest", "webapi", "--params", apps.params_file(settings)]
    refused = commands.run(words, environment=without)
    assert refused.returncode == 2
    assert "SPOTIFY_CLIENT_ID" in refused.stderr
