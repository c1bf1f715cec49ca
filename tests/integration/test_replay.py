"""A replay gives the live tables, whatever it reads and whatever executes it."""

from __future__ import annotations

import json

import polars as pl
import pytest
from worlds import World, command

from spotify_mlops import clients, tables, warehouse
from spotify_mlops.jobs import bounded, compare
from spotify_mlops.model import dataset as data
from spotify_mlops.params import Params


@pytest.mark.parametrize("runner", ["fnapi", "prism"])
@pytest.mark.parametrize("source", ["kafka", "archive"])
def test_a_replay_equals_the_live_tables(world: World, source: str, runner: bounded.Runner) -> None:
    settings = world.settings
    other = settings.model_copy(update={"dataset": f"{settings.dataset}_{source}_{runner}"})
    bounded.run(other, replay=True, from_archive=source == "archive", runner=runner)
    found = compare.compare(settings, other)
    assert all(table.live.rows for table in found)
    assert [table.name for table in found if not table.equal] == []
    assert training_digest(world, other) == world.champions[0].bundle.description["data_sha256"]


def training_digest(world: World, replayed: Params) -> str:
    """Return the digest of what a replay gives to learn from, up to where the history ended."""
    known = pl.col("window_start") + replayed.window <= world.history.watermark
    labelled = pl.col("label_window") + replayed.window <= world.history.watermark
    features = compare.content(replayed, tables.features(replayed)).filter(known)
    labels = compare.content(replayed, tables.LABELS).filter(labelled)
    learned = data.split(data.join(features, labels, replayed), replayed).development
    return data.digest(learned, data.inputs("dynamics", replayed, learned))


def test_the_command_compares_and_tells(world: World) -> None:
    settings = world.settings
    arguments = ("replay", "--dataset", f"{settings.dataset}_c", "--compare", "--wait", "0")
    done = command(settings, *arguments, "--runner", "prism", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["equal"]
    assert [table["name"] for table in told["tables"]] == [
        table.name for table in compare.compared_tables(settings)
    ]
    row = compare.content(settings, tables.DEAD_LETTERS)[:1]
    stray = row.with_columns(log_offset=pl.lit(-1, pl.Int64))
    warehouse.append(settings, tables.DEAD_LETTERS, stray)
    try:
        done = command(settings, *arguments)
    finally:
        stored = tables.DEAD_LETTERS.rows
        clients.query(settings, f"DELETE FROM {{dataset}}.{stored} WHERE log_offset < 0")
    assert done.returncode == 1, done.stderr
    (wrong,) = [line for line in done.stdout.splitlines() if line.endswith("NO")]
    assert wrong.startswith("spotify_dead_letters")
