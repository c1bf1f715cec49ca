"""Raw sinks: nothing is acknowledged past a write that failed; a full disk keeps no remains."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import polars as pl
import pytest

from agreement import shape_of
from oracle import Rules
from spotify_mlops.config.errors import ServiceError
from spotify_mlops.io import files
from spotify_mlops.pipeline import checkpoint
from spotify_mlops.pipeline.job import Job
from spotify_mlops.pipeline.position import start_of_log
from spotify_mlops.pipeline.sinks.buffered import BufferedDoFn


class Sink(BufferedDoFn):
    """Writes into a list, and refuses the batches that have ``bad`` in them."""

    def __init__(self, job: Job) -> None:
        super().__init__(job, "Sink", 0)
        self.written: list[int] = []

    def select(self, marked: pl.DataFrame) -> pl.DataFrame:
        return marked

    def write(self, rows: pl.DataFrame) -> None:
        if rows["bad"].any():
            raise ServiceError("no")
        self.written += rows["offset"].to_list()


@pytest.fixture
def job() -> checkpoint.Tracker:
    return tracker("buffered-test-0")


def tracker(name: str) -> checkpoint.Tracker:
    start = start_of_log({0: 0})
    return checkpoint.Tracker(name, start, shape_of(Rules(), 1, 1), raw=1)


def batch(first: int, *, bad: bool = False) -> pl.DataFrame:
    return pl.DataFrame({"partition": [0], "offset": [first], "bad": [bad]})


def test_what_is_written_is_acknowledged(job: checkpoint.Tracker) -> None:
    sink = Sink(job)
    sink.process(batch(0))
    sink.process(batch(1))
    job.finishing.set()
    sink.finish_bundle()
    assert sink.written == [0, 1]
    assert job.raw_acknowledged() == {0: 2}


def test_after_a_failure_nothing_more_is_written_or_acknowledged(job: checkpoint.Tracker) -> None:
    sink, other = Sink(job), Sink(job)
    sink.process(batch(0, bad=True))
    job.finishing.set()
    for _ in range(2):
        with pytest.raises(ServiceError):
            sink.finish_bundle()
    other.process(batch(1))
    with pytest.raises(ServiceError):
        other.finish_bundle()
    assert other.written == []
    assert job.raw_acknowledged() == {0: 0}


def test_what_a_job_left_behind_does_not_acknowledge_for_the_next(job: checkpoint.Tracker) -> None:
    stale = Sink(pickle.loads(pickle.dumps(job)))
    stale.process(batch(7))
    following = tracker("buffered-test-1")
    job.finishing.set()
    stale.finish_bundle()
    assert job.raw_acknowledged() == {0: 8}
    assert following.raw_acknowledged() == {0: 0}


def test_a_tracker_travels_by_name_and_is_found_by_nobody_else(job: checkpoint.Tracker) -> None:
    assert pickle.loads(pickle.dumps(job)) is job
    left = pickle.dumps(tracker("buffered-test-2"))
    with pytest.raises(KeyError):
        pickle.loads(left)


def test_where_nothing_is_held_a_bundle_ends_with_its_rows_written() -> None:
    sink = Sink(pickle.loads(pickle.dumps(Job("elsewhere"))))
    for first in (0, 1):
        sink.process(batch(first))
        sink.finish_bundle()
        assert sink.written[-1] == first
    sink.process(batch(2, bad=True))
    with pytest.raises(ServiceError):
        sink.finish_bundle()


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_bytes(str(tmp_path / "position"), b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ServiceError, match="No space left"):
        files.write_bytes(str(tmp_path / "position"), b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["position"]
    assert files.read_bytes(str(tmp_path / "position")) == b"old"
