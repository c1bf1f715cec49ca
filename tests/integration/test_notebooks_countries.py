"""The six notebooks on the charts of countries that are not those of the case study."""

from __future__ import annotations

import math
import random
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import worlds

import lenient
from spotify_mlops import sources
from spotify_mlops.config import params
from spotify_mlops.io import mongo
from spotify_mlops.io.bigquery import tables
from spotify_mlops.io.local import state
from spotify_mlops.model import runs
from spotify_mlops.model.promotions import PromotionHistory
from spotify_mlops.operations import apps, bounded, compare
from spotify_mlops.presentation import notebooks

WEEKS, TRACKS, LENGTH = 40, 60, 40
FILES = {"alemania": 1, "uk": 2}
COUNTRIES = ["DE", "GB"]
SMALL: dict[str, Any] = {
    "countries": COUNTRIES,
    "lags": [1, 2],
    "test_start": None,
    "test_share": 0.25,
    "bootstrap_repetitions": 20,
    "model_members": 1,
    "model_iterations": 20,
    **lenient.GATE,
}


def write_chart(path: Path, seed: int) -> None:
    """Write a weekly chart whose tracks rise and fall: staying as they are is a bad guess."""
    draw = random.Random(seed)
    phases = [draw.uniform(0, 2 * math.pi) for _ in range(TRACKS)]
    lines = ["Song,Artist,Date,Song ID,Streams,Rank"]
    for week in range(WEEKS):
        strength = [10 + math.sin(0.9 * week + phase) + draw.gauss(0, 0.05) for phase in phases]
        order = sorted(range(TRACKS), key=lambda track: -strength[track])[:LENGTH]
        day = date(2021, 1, 1) + timedelta(weeks=week)
        lines += [
            f"Canción {track},Artista {track % 7},{day},id{track},"
            f"{int(math.exp(strength[track]))},{rank}"
            for rank, track in enumerate(order, 1)
        ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def settings(
    services: dict[str, state.Record], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> params.Params:
    """Point the charts' profile, for whoever loads it, at a processed log of two countries."""
    charts = [f"{tmp_path / name}.csv={code}" for name, code in zip(FILES, COUNTRIES, strict=True)]
    for name, seed in FILES.items():
        write_chart(tmp_path / f"{name}.csv", seed)
    worlds.in_environment(monkeypatch, SMALL)
    made = params.load("charts")
    sources.ingest_files(made, "charts", charts)
    bounded.run(made)
    return made


def test_the_notebooks_model_the_countries_that_there_are(settings: params.Params) -> None:
    try:
        executed = notebooks.run("charts")
    finally:
        apps.stop_apps()
    own = [f"country_{code}" for code in COUNTRIES]
    columns = compare.content(settings, tables.features(settings.windows)).columns
    assert [c for c in columns if c.startswith("country_") and c != "country_rank"] == own
    promotions = PromotionHistory(settings)
    champion = promotions.bundle(str(promotions.champion()))
    assert champion.description["model_countries"] == COUNTRIES
    assert champion.features[2:4] == own
    assert "variables propias de Alemania y Reino Unido" in champion.card()
    assert len(list(runs.runs_folder(settings).iterdir())) == 1
    for document in mongo.database(settings)["tracks"].find():
        assert set(own) <= document["features"].keys()
    shown = {path.stem: path.read_text(encoding="utf-8") for path in executed}
    assert len(shown) == len(notebooks.NOTEBOOKS)
    for name in ("01_business", "02_eda", "05_evaluation"):
        assert "Alemania" in shown[name], name
        assert "Colombia" not in shown[name], name
