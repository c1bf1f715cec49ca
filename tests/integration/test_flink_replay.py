"""A replay on a Flink cluster gives the live tables, however it is cut; a dead process is told."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import psutil
import pytest
from worlds import World

from local_services import services
from spotify_mlops.config.errors import IntegrityError
from spotify_mlops.config.params import Params
from spotify_mlops.io.archive import archived
from spotify_mlops.io.local import processes, state
from spotify_mlops.operations import apps, bounded, compare

pytestmark = pytest.mark.usefixtures("cluster")
PATIENCE = 300.0


@pytest.fixture(scope="module")
def cluster(world: World) -> Iterator[Callable[[], None]]:
    """A cluster beside the session's services, which ends with the module."""

    def up() -> None:
        services.up(task_managers=2)

    up()
    try:
        yield up
    finally:
        own = [record for name, record in state.read().items() if name.startswith("flink")]
        for record in own:
            processes.halt(record)
        state.put(*(record.stopped() for record in own))


def on_flink(world: World, sources: int, parallelism: int) -> Params:
    return world.settings.replace(
        dataset=f"{world.settings.bigquery.dataset}_flink_{sources}_{parallelism}",
        engine_sources=sources,
        parallelism=parallelism,
    )


def assert_equal(world: World, other: Params) -> None:
    found = compare.compare(world.settings, other)
    assert all(table.live.rows for table in found)
    assert [table.name for table in found if not table.equal] == []


@pytest.mark.parametrize(("sources", "parallelism"), [(1, 1), (2, 1), (4, 2)])
def test_it_equals_the_live_tables(world: World, sources: int, parallelism: int) -> None:
    other = on_flink(world, sources, parallelism)
    bounded.run(other, replay=True, runner="flink")
    assert_equal(world, other)


def test_it_reads_the_archive_too(world: World) -> None:
    other = on_flink(world, 3, 2)
    bounded.run(other, replay=True, from_archive=True, runner="flink")
    assert_equal(world, other)


def test_an_error_of_a_step_is_the_errors_of_the_command(world: World, tmp_path: Path) -> None:
    own = world.settings.replace(archive=str(tmp_path / "archive"))
    shutil.copytree(
        Path(archived.raw_folder(world.settings)),
        Path(archived.raw_folder(own)),
        dirs_exist_ok=True,
    )
    torn = max(archived.archived_files(own), key=lambda file: Path(file.path).stat().st_size)
    rows = pl.read_parquet(torn.path, hive_partitioning=False)
    pl.concat([rows[:1], rows[2:]]).write_parquet(torn.path)
    with pytest.raises(IntegrityError, match=torn.name):
        bounded.run(
            own.replace(dataset=f"{own.bigquery.dataset}_lost"),
            replay=True,
            from_archive=True,
            runner="flink",
        )


def test_a_killed_task_manager_is_told_and_nothing_is_lost(
    world: World, cluster: Callable[[], None]
) -> None:
    other = on_flink(world, 2, 2)
    command = [
        *(sys.executable, "-m", "spotify_mlops", "replay", "--runner", "flink"),
        *("--dataset", other.bigquery.dataset, "--params", str(apps.params_file(world.settings))),
        *("--set", "engine_sources=2", "--set", "parallelism=2"),
    ]
    staging = state.folder("staging") / f"bounded-{other.kafka.topic}-{other.bigquery.dataset}"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stderr is not None
            deadline, pause = time.monotonic() + PATIENCE, threading.Event()
            while not list(staging.rglob("*.parquet")):  # until it is at work
                assert running.poll() is None and time.monotonic() < deadline
                pause.wait(0.01)
            psutil.Process(state.read()["flink-task-1"].pid).kill()
            while "empieza otra vez" not in (line := running.stderr.readline()):
                assert line, "the command ended"
            cluster()
            assert running.wait(PATIENCE) == 0
        finally:
            running.kill()
    assert_equal(world, other)
