"""A disk that fills up under the services, and has room again."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_services import predictions
from test_stream import assert_audited, assert_equal_to_replay
from worlds import catch_up, make

from local_services import services
from spotify_mlops import sources
from spotify_mlops.config.errors import ServiceError
from spotify_mlops.io import bigquery, mongo
from spotify_mlops.io.bigquery import appending, tables, warehouse
from spotify_mlops.io.local import processes, state
from spotify_mlops.operations import apps, lag

SIZE = "500m"
"""Kafka gives each index 10 MB of address space, of which little is ever written."""
STORES = ("kafka", "bigquery", "mongo")
SECONDS = 300.0


class Disk:
    """A file system of its own, in memory, with a file that takes what is left of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        with self._ballast.open("ab", buffering=0) as handle:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        handle.write(b"\0" * size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def spare(self) -> None:
        """Leave room for a log's next lines, too little for the services, who write lines too."""
        missing = max(0, (1 << 20) - shutil.disk_usage(self.folder).free)
        os.truncate(self._ballast, self._ballast.stat().st_size - missing)

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """A small disk with the state directory, and the services up on it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(folder / "state"))
    disk = Disk(folder)
    try:
        services.up()
        yield disk
    finally:
        disk.free()
        services.down()
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def gave_up(disk: Disk, log: Path) -> bool:
    """Let the job's log have room, and tell whether it says that it begins again, and why."""
    disk.spare()
    return "se reanuda desde el registro. En el disco de" in log.read_text()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)  # what is waited for needs the processor more


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "spotify_mlops", *arguments]
    return subprocess.run(program, capture_output=True, text=True, timeout=SECONDS)


def faults() -> dict[str, str]:
    """Return how the stores are that are not well."""
    found = {s.name: s for s in services.status() if s.name in STORES}
    return {name: s.reason for name, s in found.items() if s.state in services.FAULTS}


def starved(disk: Disk) -> bool:
    """Fill the disk, with what a process has given back since, and tell whether all stores ail."""
    disk.fill()
    return faults().keys() == set(STORES)


def test_what_was_acknowledged_is_there_and_what_was_not_is_said(disk: Disk) -> None:
    local = make(sink_deadline="3s", service_timeout="5s")
    file = str(apps.params_file(local))
    documents = mongo.database(local)["documents"]
    warehouse.ensure_dataset(local)
    acknowledged = appending.append(local, tables.PREDICTIONS, predictions(1000))
    documents.insert_one({"_id": "before"})

    disk.fill()
    with pytest.raises(ServiceError, match="BigQuery no aceptó"):
        appending.append(local, tables.PREDICTIONS, predictions(5000, 1000))
    wait_until(lambda: starved(disk))
    assert all("libera espacio" in reason for reason in faults().values())
    done = command("status", "--params", file)
    assert (done.returncode, "libera espacio" in done.stdout) == (1, True), done.stderr
    done = command("ingest", "simulator", "--params", file)
    assert done.returncode == 4, done.stderr
    done = command("up")
    assert done.returncode in (1, 4), done.stderr
    assert "libera espacio" in done.stderr or "No space left" in done.stderr

    disk.free()
    services.up()
    assert faults() == {}
    sql = "SELECT COUNT(*) FROM {dataset}.spotify_predictions_rows"
    assert bigquery.query(local, sql).item() == acknowledged
    assert documents.count_documents({}) == 1
    acknowledged += appending.append(local, tables.PREDICTIONS, predictions(500, 1000))
    documents.insert_one({"_id": "after"})
    services.down()
    services.up()  # what is in their files, not in their memory
    assert bigquery.query(local, sql).item() == acknowledged
    assert documents.count_documents({}) == 2


def test_the_stream_waits_for_room_and_goes_on(disk: Disk) -> None:
    patience = {"sink_deadline": "3s", "service_timeout": "30s"}
    settings = make(simulator_events=5_000, live_clock=100_000, **patience)
    sources.ingest_simulator(settings)
    record = apps.start_stream(settings)
    log = Path(record.log or "")
    wait_until(lambda: starved(disk))
    wait_until(lambda: gave_up(disk, log))
    assert processes.is_alive(record)

    disk.free()
    services.up()
    assert sources.live(settings)["state"] == "complete"
    wait_until(lambda: lag.measure(settings).records == 0)
    assert processes.is_alive(record), processes.tail(log)
    processes.stop(record)
    catch_up(settings)
    assert_audited(settings)
    assert_equal_to_replay(settings)

    disk.fill()
    done = command("down")
    assert (done.returncode, "libera espacio" in done.stderr) == (4, True), done.stderr
    assert [r for r in state.read().values() if processes.is_alive(r)] == []
    assert processes.strays() == []
    disk.free()
    assert command("down").returncode == 0
    assert {s.state for s in services.status()} == {"stopped"}
