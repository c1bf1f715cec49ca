"""Polls of the simulator's world: what they show moves, and each of it is published once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from hands import Hands
from memory_log import Log
from webapi_ingest import LIST, events, ingest, profile
from webapi_server import WebApi
from webapi_world import Answers

START = datetime(2026, 1, 7, tzinfo=UTC)
COUNTRIES = ["CO", "ES"]


@pytest.mark.parametrize("with_popularity", [True, False])
def test_ranks_and_popularity_move_from_poll_to_poll(
    api: WebApi, log: Log, with_popularity: bool
) -> None:
    settings = profile(
        api,
        countries=COUNTRIES,
        simulator_tracks=400,
        simulator_days=4,
        webapi_queries=["a", "b"],
        webapi_playlists={code: [LIST] for code in COUNTRIES},
        webapi_new_releases=True,
        webapi_listener_country="CO",
        webapi_interval="1h",
    )
    hands = Hands(START, until=START + timedelta(hours=12))
    Answers(settings, lambda: hands.time, with_popularity=with_popularity).install(api)
    summary = ingest(settings, hands, live=True)
    assert (summary["polls"], summary["late"]) == (12, 0)
    found = events(log, settings)
    assert found["event_id"].is_unique().all()
    kinds = dict(found.group_by("event_type").len().iter_rows())
    assert kinds.keys() == {"play", "search_result", "recommendation", "new_release"}
    assert kinds["search_result"] == 12 * 2 * 20
    lists = found.filter(event_type="recommendation", country="ES")
    shown = lists.group_by("event_time").agg(pl.col("track_id").sort())
    assert shown["track_id"].n_unique() > 3
    if with_popularity:
        moved = lists.group_by("track_id").agg(pl.col("popularity").n_unique())
        assert (moved["popularity"] > 1).sum() > 20
        assert found["popularity"].null_count() == kinds["new_release"]
    else:
        assert found["popularity"].null_count() == found.height
