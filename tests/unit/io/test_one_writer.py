"""One writer at a time in a bucket: by a lease, and by the generation of what it replaces."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.cloud import storage

import storage_server
import tiny_model
from spotify_mlops.config.errors import InputError, IntegrityError, ServiceError
from spotify_mlops.config.params import Params
from spotify_mlops.io import retry
from spotify_mlops.io.storage import lease, objects
from spotify_mlops.model.promotions import PromotionHistory
from spotify_mlops.pipeline.position import Position
from spotify_mlops.pipeline.sinks import positions

URI = f"{storage_server.URL}/some/record.json"
SHORT = timedelta(seconds=1.2)
DAY = timedelta(days=1)


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[storage.Bucket]:
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "state"))
    with storage_server.running() as served:
        yield served


@pytest.fixture
def settings(bucket: storage.Bucket) -> Params:
    return tiny_model.settings().replace(archive=f"{storage_server.URL}/spotify")


def elsewhere(monkeypatch: pytest.MonkeyPatch, uri: str, lasts: timedelta = SHORT) -> lease.Lease:
    """Take a lease as another machine would, which then stops without giving it back."""
    with monkeypatch.context() as patched:
        patched.setattr(lease, "_holder", lambda: "other-machine/1")
        taken = lease.Lease(uri, lasts)
    taken._ended.set()
    taken._renewing.join()
    return taken


def test_a_write_says_what_it_replaces(bucket: storage.Bucket) -> None:
    assert objects.read(URI) is None
    first = objects.write(URI, b"1", replaces=0)
    with pytest.raises(objects.ConflictError):
        objects.write(URI, b"other", replaces=0)
    second = objects.write(URI, b"2", replaces=first)
    with pytest.raises(objects.ConflictError):
        objects.write(URI, b"3", replaces=first)
    found = objects.read(URI)
    assert found is not None and (found.content, found.generation) == (b"2", second)
    assert abs(found.updated - datetime.now(UTC)) < timedelta(minutes=1)
    objects.delete(URI, replaces=first)  # another's: it stays
    assert objects.read(URI) is not None
    objects.delete(URI, replaces=second)
    assert objects.read(URI) is None


def test_a_write_whose_answer_was_lost_is_not_a_conflict(bucket: storage.Bucket) -> None:
    first = objects.write(URI, b"1", replaces=0)
    assert objects.write(URI, b"1", replaces=0) == first


def test_a_bucket_that_is_not_there_is_told(bucket: storage.Bucket) -> None:
    with pytest.raises(ServiceError, match="gs://nowhere/x"):
        objects.write("gs://nowhere/x", b"1", replaces=0)


def test_a_lease_is_one_holders_while_it_is_renewed(
    bucket: storage.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lease.held(URI, wait=False, lasts=SHORT) as held:
        seen: set[int] = set()

        def generations() -> int:
            found = objects.read(URI)
            assert found is not None
            seen.add(found.generation)
            return len(seen)

        assert retry.until(generations, lambda n: n >= 5, 30, pause=0.1) >= 5  # beyond its length
        held.check()
        with pytest.raises(lease.HeldError, match=r"Otro proceso escribe ahí"):
            elsewhere(monkeypatch, URI)
        with pytest.raises(BlockingIOError), lease.held(URI, wait=False):
            pass
    assert objects.read(URI) is None


def test_a_lease_that_nobody_renews_is_taken_over_and_its_holder_told(
    bucket: storage.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = elsewhere(monkeypatch, URI)
    with (
        pytest.raises(lease.HeldError, match=r"other-machine tiene gs://"),
        lease.held(URI, wait=False, lasts=SHORT),
    ):
        pass
    with lease.held(URI, wait=True, lasts=SHORT) as held:
        held.check()
        with pytest.raises(IntegrityError, match="Otro proceso tomó"):
            dead.check()


def test_what_this_state_directory_left_is_taken_at_once(
    bucket: storage.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = lease._holder()
    monkeypatch.setattr(lease, "_holder", lambda: own)
    killed = lease.Lease(URI, timedelta(hours=1))
    killed._ended.set()
    with lease.held(URI, wait=False):
        pass


def test_no_promotion_is_lost_to_one_that_read_before_it(settings: Params, tmp_path: Path) -> None:
    history = PromotionHistory(settings)
    for version, path in enumerate(tiny_model.bundles(tmp_path, 2), 1):
        history.keep(str(version), path)
    reading, go_on = threading.Event(), threading.Event()

    class Slow(PromotionHistory):
        def _check(self, *arguments: Any) -> None:
            reading.set()
            assert go_on.wait(60)
            super()._check(*arguments)

    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(Slow(settings).promote, "1", tiny_model.START)
        assert reading.wait(60)
        quick = pool.submit(history.promote, "2", tiny_model.START + DAY)
        written_meanwhile, _ = wait([quick], timeout=2)
        go_on.set()
        assert not written_meanwhile
        slow.result(60)
        quick.result(60)
    assert [period.version for period in history.periods()] == ["1", "2"]
    with pytest.raises(InputError, match="No hay versión 9"):
        history.promote("9", tiny_model.START)
    assert PromotionHistory(settings).champion() == "2"


def test_a_promotion_waits_for_another_machines(
    settings: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = PromotionHistory(settings)
    (path,) = tiny_model.bundles(tmp_path, 1)
    history.keep("1", path)
    other = elsewhere(monkeypatch, f"{history.uri}/.lease", timedelta(hours=1))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(history.promote, "1", tiny_model.START)
        assert not wait([waiting], timeout=2).done and history.champion() is None
        objects.delete(other.uri, replaces=other._generation)
        waiting.result(60)
    assert history.champion() == "1"


def test_a_position_has_one_writer_among_machines(
    settings: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = positions.position_file(settings)
    first, second = (Position({0: n}, {0: None}, {0: n}) for n in (1, 2))
    with positions.exclusive(settings):
        positions.save(settings, first)
        positions.save(settings, second)
        assert positions.load(settings) == second
    assert objects.read(f"{uri}.lease") is None
    other = elsewhere(monkeypatch, f"{uri}.lease", timedelta(hours=1))
    with pytest.raises(ServiceError, match="other-machine"), positions.exclusive(settings):
        pass
    objects.delete(other.uri, replaces=other._generation)


def test_a_job_that_was_taken_for_dead_does_not_move_the_position_back(settings: Params) -> None:
    uri = positions.position_file(settings)
    with positions.exclusive(settings):
        positions.save(settings, Position({0: 1}, {0: None}, {0: 1}))
        found = objects.read(uri)
        assert found is not None
        later = Position({0: 9}, {0: None}, {0: 9})
        objects.write(uri, later.to_json(), replaces=found.generation)  # its successor
        with pytest.raises(IntegrityError, match="es del otro"):
            positions.save(settings, Position({0: 2}, {0: None}, {0: 2}))
    assert positions.load(settings) == later
    with pytest.raises(RuntimeError, match="exclusive"):
        positions.save(settings, later)


def test_what_a_lease_says_is_readable(bucket: storage.Bucket) -> None:
    with lease.held(URI, wait=False):
        found = objects.read(URI)
    assert found is not None
    assert set(json.loads(found.content)) == {"holder", "nonce", "turn"}
