"""A replay gives the live tables, whatever it reads and whatever executes it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from worlds import World, command, content

from spotify_mlops.config.params import Params
from spotify_mlops.domain import features, watermark
from spotify_mlops.domain.events import LOG_COLUMNS, Ahead, decode
from spotify_mlops.domain.windows import Windowing
from spotify_mlops.io import bigquery, mongo
from spotify_mlops.io.archive import archived
from spotify_mlops.io.bigquery import appending, tables
from spotify_mlops.model import dataset as data
from spotify_mlops.model.endpoint import Endpoint
from spotify_mlops.model.promotions import PromotionHistory
from spotify_mlops.model.registry import Registry
from spotify_mlops.operations import bounded, compare, late, skew
from spotify_mlops.pipeline import steps
from spotify_mlops.sources import manifest


@pytest.mark.parametrize("runner", ["fnapi", "prism"])
@pytest.mark.parametrize("source", ["kafka", "archive"])
def test_a_replay_equals_the_live_tables(world: World, source: str, runner: bounded.Runner) -> None:
    settings = world.settings
    other = settings.replace(dataset=f"{settings.bigquery.dataset}_{source}_{runner}")
    bounded.run(other, replay=True, from_archive=source == "archive", runner=runner)
    found = compare.compare(settings, other)
    assert all(table.live.rows for table in found)
    assert [table.name for table in found if not table.equal] == []
    assert training_digest(world, other) == world.champions[0].bundle.description["data_sha256"]


def training_digest(world: World, replayed: Params) -> str:
    """Return the digest of what a replay gives to learn from, up to where the history ended."""
    known = pl.col("window_start") + replayed.windows.window <= world.history.watermark
    labelled = pl.col("label_window") + replayed.windows.window <= world.history.watermark
    features = compare.content(replayed, tables.features(replayed.windows)).filter(known)
    labels = compare.content(replayed, tables.labels(replayed)).filter(labelled)
    learned = data.split(data.join(features, labels, replayed.model), replayed).development
    return data.digest(learned, data.inputs("dynamics", replayed.windows, learned))


def test_the_command_compares_and_tells(world: World) -> None:
    settings = world.settings
    arguments = (
        "replay",
        "--dataset",
        f"{settings.bigquery.dataset}_c",
        "--compare",
        "--wait",
        "0",
    )
    done = command(settings, *arguments, "--runner", "prism", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["equal"]
    assert [table["name"] for table in told["tables"]] == [
        table.name for table in compare.compared_tables(settings)
    ]
    row = compare.content(settings, tables.DEAD_LETTERS)[:1]
    stray = row.with_columns(log_offset=pl.lit(-1, pl.Int64))
    appending.append(settings, tables.DEAD_LETTERS, stray)
    try:
        done = command(settings, *arguments)
    finally:
        stored = tables.DEAD_LETTERS.rows
        bigquery.query(settings, f"DELETE FROM {{dataset}}.{stored} WHERE log_offset < 0")
    assert done.returncode == 1, done.stderr
    (wrong,) = [line for line in done.stdout.splitlines() if line.endswith("NO")]
    assert wrong.startswith("spotify_dead_letters")


ENOUGH = timedelta(hours=4)
"""The simulator's late events are at most three hours older than they had to be."""


def unique_events(settings: Params, allowed_lateness: timedelta) -> tuple[pl.DataFrame, int]:
    """Return the events of the archived log that are in time, each once, and the late records."""
    log = pl.read_parquet(f"{archived.raw_folder(settings)}/*/*.parquet").select(*LOG_COLUMNS)
    log = log.unique(["partition", "offset"]).sort("partition", "offset")
    nothing = dict.fromkeys(range(settings.kafka.partitions))
    marked, _ = watermark.mark(decode(log, Ahead.of(settings.windows)), nothing, allowed_lateness)
    events = steps.events(marked, Windowing.of(settings.windows))
    return features.dedup(events.filter(~pl.col("late")))[0], int(events["late"].sum())


@pytest.mark.parametrize("lateness", [timedelta(minutes=40), ENOUGH], ids=["some", "all"])
def test_late_events_are_folded_in(world: World, lateness: timedelta) -> None:
    live = world.settings
    other = live.replace(
        dataset=f"{live.bigquery.dataset}_{lateness.seconds}", allowed_lateness=lateness
    )
    summary = bounded.run(other, replay=True, final_lateness=live.windows.allowed_lateness)
    found = late.changes(live, other, summary)
    injected = manifest.injected(live)
    assert injected is not None
    assert found.late[0] == injected["late"]
    assert found.counted[0] == injected["events"]
    assert found.duplicates[0] == injected["duplicates"]
    events, still_late = unique_events(live, lateness)
    assert found.late[1] == still_late
    assert (still_late == 0) == (lateness == ENOUGH)
    # Each record that is no longer late is counted; the closed windows are the same.
    assert found.counted[1] + found.late[1] == injected["events"] + injected["late"]
    assert found.duplicates[1] == injected["duplicates"]
    inputs = features.Inputs.of(live.windows).names()
    folded = content(other, tables.features(other.windows))
    plain = features.reference(events, Windowing.of(live.windows), features.Inputs.of(live.windows))
    assert compare.digest(folded) == compare.digest(plain.select(folded.columns))
    before = content(live, tables.features(live.windows))
    windows = [frame["window_start"].n_unique() for frame in (before, folded)]
    assert found.windows == tuple(windows)
    assert found.rows == (before.height, folded.height)
    same = before.join(folded, on=before.columns, how="semi", nulls_equal=True).height
    assert found.rows_changed == before.height - same > 0
    assert set(found.features_changed) <= {*inputs, *features.DESCRIPTIVE_SCHEMA}
    predicted = [content(settings, tables.PREDICTIONS) for settings in (live, other)]
    moved = predicted[0].join(predicted[1], on=tables.PREDICTIONS.key)
    moved = moved.filter(pl.col("level") != pl.col("level_right"))
    assert sum(found.levels_moved.values()) == moved.height


def test_the_command_says_what_late_events_change(world: World) -> None:
    settings = world.settings
    arguments = (
        "--dataset",
        f"{settings.bigquery.dataset}_late",
        "--allowed-lateness",
        "4h",
        "--json",
    )
    done = command(settings, "replay", *arguments)
    assert done.returncode == 0, done.stderr
    injected = manifest.injected(settings)
    assert injected is not None
    changes = json.loads(done.stdout)["changes"]
    assert changes["late"] == {"live": injected["late"], "replay": 0}
    assert changes["counted"]["replay"] == injected["events"] + injected["late"]
    assert changes["allowed_lateness"] == {"live": 120.0, "replay": 14_400.0}


@pytest.fixture(scope="module")
def recomputed(world: World) -> skew.Computed:
    """What the log gives, computed once, while the endpoint is up."""
    registry = Registry(world.settings)
    for champion in world.champions:
        assert registry.register(champion.bundle.path) == champion.name.partition("@")[2]
    Endpoint(world.settings).serve(PromotionHistory(world.settings).periods()[-1])
    return skew.compute(world.settings)


def test_every_place_has_the_values_that_the_log_gives(
    world: World, recomputed: skew.Computed
) -> None:
    report = skew.check(world.settings, recomputed)
    assert report.holds, report.places
    compared = {place.name: place.compared for place in report.places}
    rows = content(world.settings, tables.features(world.settings.windows))
    tracks = rows.select("country", "track_id").n_unique()
    assert compared["features_stored"] == compared["features_notebook"] == rows.height
    assert compared["features_store"] == tracks
    assert compared["predictions_stored"] > 0
    store, endpoint = report.places[-2:]
    assert store.compared == endpoint.compared + endpoint.apart > endpoint.compared > 0


MARKER = datetime(2020, 1, 1, tzinfo=UTC)
"""When planted rows say that they were written: before the true ones, so that readers see them."""


def latest_row(settings: Params) -> dict[str, Any]:
    """Return the row of features of a track whose latest window is the last one."""
    rows = content(settings, tables.features(settings.windows))
    return rows.sort("window_start", "track_id").row(-1, named=True)


def plant_row(settings: Params, table: tables.Table, column: str, written_at: datetime) -> None:
    row = latest_row(settings)
    key = [pl.col(name) == row[name] for name in table.key]
    stored = content(settings, table).filter(key)
    assert stored.height == 1
    changed = stored.with_columns(pl.col(column) + 2**-40, written_at=pl.lit(written_at))
    appending.append(settings, table, changed)


def plant_document(settings: Params, field: str, value: Any) -> None:
    row = latest_row(settings)
    mongo.database(settings)["tracks"].update_one(
        {"_id": f"{row['country']}:{row['track_id']}"}, {"$set": {field: value}}
    )


def plant_gone(settings: Params) -> None:
    row = latest_row(settings)
    mongo.database(settings)["tracks"].delete_one({"_id": f"{row['country']}:{row['track_id']}"})


PLANTED: dict[str, tuple[Callable[[Params], None], set[str]]] = {
    "a copy that readers do not see": (
        lambda p: plant_row(p, tables.features(p.windows), "momentum", datetime.now(UTC)),
        {"features_stored"},
    ),
    "a row that readers see": (
        lambda p: plant_row(p, tables.features(p.windows), "momentum", MARKER),
        {"features_stored", "features_notebook"},
    ),
    "a stored prediction": (
        lambda p: plant_row(p, tables.PREDICTIONS, "p_alta", MARKER),
        {"predictions_stored"},
    ),
    "a stored feature that no answer depends on": (
        lambda p: plant_document(p, "features.momentum", 1.0),
        {"features_store"},
    ),
    "a stored feature that the endpoint uses": (
        lambda p: plant_document(p, "features.event_type_search_result", 1.0),
        {"features_store", "predictions_endpoint"},
    ),
    "a stored prediction of a track": (
        lambda p: plant_document(p, "prediction.score", 0.25),
        {"predictions_store"},
    ),
    "a track that is gone": (
        plant_gone,
        {"features_store", "predictions_store", "predictions_endpoint"},
    ),
}


@pytest.fixture
def put_back(world: World) -> Iterator[None]:
    """Undo what a test changes in tables and store."""
    settings = world.settings
    collection = mongo.database(settings)["tracks"]
    documents = list(collection.find())
    began = datetime.now(UTC)
    yield
    for table in (tables.features(settings.windows), tables.PREDICTIONS):
        bigquery.query(
            settings,
            f"DELETE FROM {{dataset}}.{table.rows} "
            "WHERE written_at = @marker OR written_at >= @began",
            marker=MARKER,
            began=began,
        )
    for document in documents:
        collection.replace_one({"_id": document["_id"]}, document, upsert=True)


@pytest.mark.parametrize(("plant", "places"), PLANTED.values(), ids=PLANTED)
@pytest.mark.usefixtures("put_back")
def test_a_planted_difference_is_found_where_it_is(
    world: World,
    recomputed: skew.Computed,
    plant: Callable[[Params], None],
    places: set[str],
) -> None:
    plant(world.settings)
    report = skew.check(world.settings, recomputed)
    wrong = [place for place in report.places if not place.holds]
    assert {place.name for place in wrong} == places
    for place in wrong:
        assert place.different + place.missing == 1
        assert len(place.examples) == 1


def test_a_replay_that_computes_otherwise_differs_from_all(
    world: World, recomputed: skew.Computed
) -> None:
    row = latest_row(world.settings)
    mine = (pl.col("track_id") == row["track_id"]) & (pl.col("country") == row["country"])
    other = pl.when(mine).then(pl.col("momentum") + 1e-12).otherwise("momentum")
    changed = skew.Computed(
        recomputed.features.with_columns(other.alias("momentum")),
        recomputed.predictions,
        recomputed.extent,
        recomputed.records,
    )
    report = skew.check(world.settings, changed)
    wrong = {place.name: place.columns for place in report.places if not place.holds}
    assert set(wrong) == {"features_stored", "features_notebook", "features_store"}
    assert all(set(columns) == {"momentum"} for columns in wrong.values())


@pytest.mark.usefixtures("put_back")
def test_the_command_finds_skew(world: World, recomputed: skew.Computed) -> None:
    settings = world.settings
    done = command(settings, "audit", "--skew", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["holds"]
    plant_document(settings, "features.momentum", 1.0)
    done = command(settings, "audit", "--skew", "--wait", "0")
    assert done.returncode == 1, done.stderr
    (example,) = [line for line in done.stdout.splitlines() if "debía ser" in line]
    assert "momentum" in example
    assert example.endswith("y es 1.0")


@pytest.mark.parametrize("runner", ["fnapi", "prism"])
def test_an_archive_that_lacks_records_is_refused(
    world: World, runner: str, tmp_path: Path
) -> None:
    settings = world.settings.replace(archive=str(tmp_path / "archive"))
    shutil.copytree(archived.raw_folder(world.settings), archived.raw_folder(settings))
    last = max(Path(archived.raw_folder(settings)).rglob("*.parquet"), key=lambda path: path.name)
    pl.read_parquet(last)[:-1].write_parquet(last)
    arguments = (
        "--from",
        "archive",
        "--dataset",
        f"{settings.bigquery.dataset}_x",
        "--runner",
        runner,
    )
    done = command(settings, "replay", *arguments)
    assert done.returncode == 6, done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert "archivo" in done.stderr.splitlines()[-1]
    if runner == "fnapi":  # Prism's job messages carry the worker's traceback to the terminal
        assert "Traceback" not in done.stderr
