"""The six notebooks on some simulated days of the Web API's profile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import worlds

import lenient
from hands import Hands
from spotify_mlops.config import params
from spotify_mlops.io.bigquery import tables
from spotify_mlops.io.local import state
from spotify_mlops.model.promotions import PromotionHistory
from spotify_mlops.operations import apps, audit, bounded, compare
from spotify_mlops.presentation import notebooks
from spotify_mlops.sources.webapi import ingest_webapi
from webapi_server import ENVIRONMENT, serving
from webapi_world import Answers

START = datetime(2026, 1, 6, tzinfo=UTC)
DAYS = 6
LIST = "37i9dQZEVXbOa2lmxNORXQ"
SMALL: dict[str, Any] = {
    "countries": ["CO", "ES"],
    "lags": [1, 2, 4, 8],
    "horizon": 4,
    "simulator_tracks": 200,
    "simulator_days": DAYS + 2,
    "webapi_queries": ["a", "b", "c"],
    "webapi_playlists": {"CO": [LIST], "ES": [LIST]},
    "webapi_listener_country": "CO",
    "webapi_interval": "3h",
    "webapi_requests_per_minute": 6000,
    # What is shown here is invented: nobody's policy is about it.
    "webapi_training_allowed": True,
    "bootstrap_repetitions": 20,
    "model_members": 1,
    "model_iterations": 20,
    **lenient.GATE,
}


@pytest.fixture
def settings(services: dict[str, state.Record], monkeypatch: pytest.MonkeyPatch) -> params.Params:
    """Point the profile, for whoever loads it, at a processed log of polls."""
    worlds.in_environment(monkeypatch, SMALL)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    hands = Hands(START, until=START + timedelta(days=DAYS))
    with serving() as api:
        monkeypatch.setenv(params.ENVIRONMENT_PREFIX + "WEBAPI_ADDRESS", api.address)
        made = params.load("webapi")
        Answers(made, lambda: hands.time).install(api)
        summary = ingest_webapi(made, live=True, clock=hands.clock())
    assert summary["polls"] == 8 * DAYS
    bounded.run(made)
    return made


def test_the_notebooks_predict_the_apis_own_popularity(settings: params.Params) -> None:
    try:
        executed = notebooks.run("webapi")
    finally:
        apps.stop_apps()
    promotions = PromotionHistory(settings)
    champion = promotions.bundle(str(promotions.champion()))
    assert champion.description["target"] == "api"
    assert {"api_popularity", "api_known", "api_lag_8", "api_change_1"} <= set(champion.features)
    card = champion.card()
    assert "popularidad (0 a 100) que da la API de Spotify" in card
    assert "III.14" in card
    shown = {path.stem: path.read_text(encoding="utf-8") for path in executed}
    assert len(shown) == len(notebooks.NOTEBOOKS)
    assert "lo que enseña la Web API de Spotify" in shown["01_business"]
    assert "la popularidad que da la API de Spotify" in shown["01_business"]
    assert audit.audit(settings).holds
    assert compare.content(settings, tables.PREDICTIONS).height > 0
