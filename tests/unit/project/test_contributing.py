"""CONTRIBUTING's recipe for a variable, followed as it is written: it reaches everything."""

from __future__ import annotations

import json
from pathlib import Path

import recipes

ADDED = """
import datetime, json
import polars as pl
from oracle import Rules
from oracle.features import features_by_joins
from spotify_mlops.config import params
from spotify_mlops.domain import features
from spotify_mlops.domain.windows import Windowing
from spotify_mlops.io.bigquery import tables
from spotify_mlops.model import dataset
from spotify_mlops.presentation.es import names
from spotify_mlops.sources.found import as_events

settings = params.load("local")
start = datetime.datetime(2026, 1, 5, tzinfo=datetime.UTC)
events = as_events(pl.DataFrame({
    "event_time": [start] * 4, "country": ["CO"] * 4, "track_id": ["t"] * 4,
    "event_type": ["new_release", "play", "play", "play"],
}), "test")
windowing = Windowing.of(settings.windows)
rows = features.reference(events, windowing, features.Inputs.of(settings.windows))
windowed = events.with_columns(window_start=windowing.start_expr("event_time"))
lags, countries = settings.windows.lags, settings.windows.model_countries
rules = Rules(windowing.length, lags=tuple(lags), countries=tuple(countries))
plain = features_by_joins(windowed, rules)
print(json.dumps({
    "values": rows["release_share"].to_list(),
    "oracle": plain["release_share"].to_list(),
    "column": [
        c.field_type for c in tables.features(settings.windows).schema if c.name == "release_share"
    ],
    "input": dataset.inputs("dynamics", settings.windows, rows).count("release_share"),
    "spanish": names.model_input("release_share"),
}))
"""


def test_a_recipe_is_said_in_ten_lines() -> None:
    lengths = {name: lines for name, (lines, _) in recipes.recipes().items()}

    assert lengths.keys() == {"Una fuente", "Una variable"}
    assert all(lines <= recipes.MOST_LINES for lines in lengths.values()), lengths


def test_a_new_variable_is_a_column_and_an_input(tmp_path: Path) -> None:
    _, steps = recipes.recipes()["Una variable"]
    copy = recipes.follow(steps, tmp_path)
    done = recipes.run(copy, "-c", ADDED)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "values": [0.25],
        "oracle": [0.25],
        "column": ["FLOAT64"],
        "input": 1,
        "spanish": "parte de lanzamientos",
    }
