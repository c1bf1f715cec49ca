"""The streaming job on real services: what it writes is what a replay of the log writes.

Whatever is killed meanwhile. The log has duplicates, late events and malformed records.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest
from worlds import (
    World,
    catch_up,
    closes_what_a_silent_partition_holds_open,
    command,
    content,
    make,
    next_window,
)

import commands
from local_services import services as local_services
from spotify_mlops import sources
from spotify_mlops.config.params import Params
from spotify_mlops.io import bigquery, kafka
from spotify_mlops.io.bigquery import tables
from spotify_mlops.io.local import processes, state
from spotify_mlops.io.mongo.clients import database as mongo_database
from spotify_mlops.operations import apps, audit, bounded, compare
from spotify_mlops.pipeline.sinks import mongo, positions
from spotify_mlops.sources import manifest


def assert_equal_to_replay(settings: Params) -> None:
    other = settings.replace(dataset=f"{settings.bigquery.dataset}_again")
    bounded.run(other, replay=True)
    for table in compare.compare(settings, other):
        assert table.equal, table


def assert_audited(settings: Params) -> None:
    report = audit.audit(settings)
    assert report.holds, report.differences


def test_the_stream_goes_on_where_the_bounded_run_ended(world: World) -> None:
    assert world.summary["windows"] == 12
    assert world.summary["restarts"] == 0
    features = content(world.settings, tables.features(world.settings.windows))
    assert features["window_start"].n_unique() == 72 + 12
    assert_audited(world.settings)
    totals = audit.audit(world.settings).to_dict()["totals"]
    injected = manifest.injected(world.settings)
    assert injected is not None
    for name in ("late", "duplicates", "dead_letters"):
        assert totals[name] == injected[name] > 0
    assert totals["open"] == 0


def test_what_waits_in_the_log_is_worked_off_many_windows_at_a_time(world: World) -> None:
    settings = world.settings
    saved = positions.load(settings)
    assert saved is not None and saved.write_from is not None and saved.backlog_until is not None
    assert saved.write_from - settings.windows.window <= saved.backlog_until <= saved.write_from
    sql = "SELECT window_start, written_at FROM {dataset}.spotify_features WHERE window_start >= @s"
    rows = bigquery.query(settings, sql, s=next_window(settings))
    assert rows["window_start"].n_unique() == 12
    assert rows["written_at"].n_unique() <= 2 * settings.windows.shards


def test_streaming_again_adds_nothing(world: World) -> None:
    before = compare.digests(world.settings)
    assert catch_up(world.settings)["windows"] == 0
    assert compare.digests(world.settings) == before
    assert all(digest.rows for digest in before.values())
    assert_audited(world.settings)


def test_predictions_are_those_of_the_stored_features(world: World) -> None:
    settings = world.settings
    since = pl.col("window_start") >= next_window(settings)
    features = content(settings, tables.features(settings.windows), since)
    predictions = content(settings, tables.PREDICTIONS)
    assert predictions.height == features.height > 0
    parts = [features.filter(world.champion_is(champion)) for champion in world.champions]
    again = pl.concat(
        champion.predict(part).with_columns(model=pl.lit(champion.name))
        for champion, part in zip(world.champions, parts, strict=True)
    )
    assert all(part.height for part in parts)
    assert predictions.select(again.columns).equals(again)


def test_the_online_store_has_the_latest_row_of_each_track(world: World) -> None:
    settings = world.settings
    key = ["country", "track_id"]
    latest = (
        content(settings, tables.features(settings.windows))
        .sort("window_start")
        .unique(key, keep="last")
        .join(content(settings, tables.PREDICTIONS), on=["window_start", *key], how="left")
    )
    tracks = {d["_id"]: d for d in mongo_database(settings)["tracks"].find()}
    assert len(tracks) == latest.height
    inputs = mongo.model_inputs(settings.windows)
    for row in latest.iter_rows(named=True):
        document = tracks[f"{row['country']}:{row['track_id']}"]
        assert document["window_start"] == row["window_start"]
        assert document["features"] == {name: row[name] for name in inputs}
        prediction = document["prediction"]
        assert (prediction and prediction["level"]) == row["level"]
        if prediction is not None:
            assert prediction["probabilities"]["Alta"] == row["p_alta"]
    assert all(tracks[name]["window_start"] >= start for name, start in world.before.items())


def test_an_older_window_never_replaces_a_newer_one(world: World) -> None:
    settings = world.settings
    database = mongo_database(settings)
    before = {document["_id"]: document for document in database["tracks"].find()}
    features = content(settings, tables.features(settings.windows))
    oldest = features.filter(pl.col("window_start") == pl.col("window_start").min())
    none = content(settings, tables.PREDICTIONS).clear()
    mongo.replace_tracks(database, mongo.model_inputs(settings.windows), oldest, none)
    after = {document["_id"]: document for document in database["tracks"].find()}
    gone = {name for name, document in before.items() if after[name] != document}
    assert gone == set()


def test_the_operational_store_keeps_the_recent_events_only(world: World) -> None:
    settings = world.settings
    events = content(settings, tables.EVENTS)
    newest = events["event_time"].max()
    assert isinstance(newest, datetime)
    stored = {d["_id"]: d for d in mongo_database(settings)["events"].find()}
    watermark = datetime.fromisoformat(world.summary["watermark"])
    oldest = mongo.kept_from(watermark, settings.windows.operational_retention)
    assert oldest > newest - settings.windows.operational_retention * 1.2
    everything = pl.concat([events, content(settings, tables.LATE_EVENTS)])
    kept = everything.filter(pl.col("event_time") >= oldest)
    assert set(stored) == set(mongo.event_ids(kept))
    assert kept.height > 100


@pytest.fixture
def history(services: dict[str, state.Record]) -> Iterator[Callable[..., Params]]:
    """Make params whose history is processed; what is started with them is stopped."""

    def prepare(**overrides: Any) -> Params:
        settings = make(**overrides)
        sources.ingest_simulator(settings)
        bounded.run(settings)
        return settings

    yield prepare
    apps.stop_apps()


def wait_until(condition: Callable[[], object], what: str, timeout: float = 90) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def windows_written(settings: Params) -> int:
    sql = "SELECT COUNT(DISTINCT window_start) FROM {dataset}.spotify_features_rows"
    return int(bigquery.query(settings, sql).item())


def finish(settings: Params) -> None:
    """Wait for the end of the live part, stop the job, and answer for what is left."""
    wait_until(lambda: not _runs(apps.SIMULATOR), "the simulator goes on")
    apps.stop_apps()
    catch_up(settings)


def _runs(name: str) -> bool:
    record = state.get(name)
    return record is not None and processes.is_alive(record)


def kill(record: state.Record | None) -> None:
    assert record is not None
    process = psutil.Process(record.pid)
    process.kill()
    process.wait(60)


def test_a_killed_stream_loses_and_doubles_nothing(history: Callable[..., Params]) -> None:
    settings = history(live_clock=4_000)
    apps.start_stream(settings)
    apps.start_simulator(settings)
    for windows in (74, 77):
        wait_until(lambda w=windows: windows_written(settings) >= w, "no windows")  # type: ignore[misc]
        kill(state.get(apps.STREAM))
        found = {s.name: s.state for s in local_services.status()}
        assert found[apps.STREAM] == "crashed"
        apps.start_stream(settings)
    finish(settings)
    assert windows_written(settings) == 84
    assert_audited(settings)
    assert_equal_to_replay(settings)


def test_killed_kafka_stops_nothing_and_loses_nothing(history: Callable[..., Params]) -> None:
    settings = history(live_clock=4_000)
    impatient = settings.replace(service_timeout=timedelta(seconds=25))
    patient = settings.replace(service_timeout=timedelta(minutes=5))
    stream = apps.start_stream(impatient)
    apps.start_simulator(patient)
    wait_until(lambda: windows_written(settings) >= 74, "no windows")
    kill(state.get("kafka"))
    try:
        commands = (("stream",), ("audit",), ("ingest", "simulator"))
        with ThreadPoolExecutor(len(commands)) as pool:  # each waits for Kafka as long as it may
            ends = list(pool.map(lambda words: command(settings, *words, timeout=240), commands))
        for failed in ends:
            assert failed.returncode == 4, failed.stderr
            (line,) = failed.stderr.strip().splitlines()
            assert re.match(r"Error: Kafka.* no responde.*spotify-mlops up", line), line
        # Longer than it waits for Kafka: it fails, and starts itself again.
        wait_until(lambda: "se reanuda desde el registro" in processes.tail(stream.log), "waits")
    finally:
        local_services.up()
    wait_until(lambda: windows_written(settings) == 84, "the stream does not go on")
    assert state.get(apps.STREAM) == stream
    assert processes.is_alive(stream)
    assert "Kafka no responde" in Path(stream.log or "").read_text()
    finish(settings)
    assert_audited(settings)
    assert_equal_to_replay(settings)


def test_a_second_job_of_the_same_tables_is_refused(world: World) -> None:
    settings = world.settings
    with positions.exclusive(settings):
        failed = command(settings, "stream", "--until-caught-up")
    assert failed.returncode == 4
    assert "Otro proceso ya escribe las tablas" in failed.stderr
    assert len(failed.stderr.strip().splitlines()) == 1


def test_without_services_the_stream_says_so_at_once(own_state: Any) -> None:
    failed = commands.run(["stream"], timeout=240)
    assert failed.returncode == 4
    assert failed.stderr == (
        "Error: El servicio local «kafka» no está en marcha: ejecuta «spotify-mlops up».\n"
    )


def test_another_number_of_partitions_is_refused(world: World) -> None:
    settings = world.settings.replace(partitions=3)
    failed = command(settings, "stream", "--until-caught-up")
    assert failed.returncode == 4
    assert "4 particiones" in failed.stderr
    assert len(kafka.offsets(world.settings)) == 4


def test_a_silent_partition_holds_no_window_open(services: dict[str, state.Record]) -> None:
    closes_what_a_silent_partition_holds_open(make(partitions=2, idle_timeout="2s"))
