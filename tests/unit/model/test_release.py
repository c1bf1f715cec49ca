"""Who serves after a release, and which training run is released."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

import pytest

from spotify_mlops.config.errors import UserError
from spotify_mlops.model import runs
from spotify_mlops.model.release import Release, release, rollback
from tiny_model import verdict


class Versions:
    """A registry in memory: the same methods, no files."""

    def __init__(self, version: str, champion: str | None) -> None:
        self.version, self.current = version, champion
        self.promotions: list[tuple[str, datetime]] = []

    def champion(self) -> str | None:
        return self.current

    def register(self, bundle_dir, labels) -> str:
        assert labels["gate"] in ("passed", "failed")
        return self.version

    def align(self) -> None:
        """Change nothing: the aliases are what the promotions say."""

    def promote(self, version: str, effective_from: datetime) -> None:
        self.current = version
        self.promotions.append((version, effective_from))


class Run:
    boundaries: ClassVar = {"training_end": "2026-01-21T00:00:00+00:00"}


TRAINED = datetime(2026, 1, 21, tzinfo=UTC)
NEXT = datetime(2026, 1, 26, tzinfo=UTC)


@pytest.mark.parametrize(
    ("approved", "before", "version", "serves", "since", "first"),
    [
        (True, None, "1", "1", TRAINED, True),  # its first windows are closed already
        (True, "1", "2", "2", NEXT, False),  # what the other predicted stays
        (True, "1", "1", "1", None, False),
        (False, "1", "2", "1", None, False),
    ],
)
def test_release(tmp_path, approved, before, version, serves, since, first):
    registry = Versions(version, before)
    steps = registry.promotions
    found = release(Run(), verdict(approved), registry, tmp_path, NEXT, steps.append)
    assert found == Release(serves, since)
    # The first champion's job goes back before the promotion stands.
    assert steps == [*([since] if first else []), *([(version, since)] if since else [])]


def test_release_without_any_acceptable_model_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no se despliega nada"):
        release(Run(), verdict(False), Versions("1", None), tmp_path, NEXT, print)


@pytest.mark.parametrize(
    ("history", "back"), [(["1", "2"], "1"), (["1", "2", "3", "3"], "2"), (["1", "2", "1"], "2")]
)
def test_rollback_goes_to_the_champion_before(history, back):
    registry = Versions("", history[-1])
    assert rollback(registry, history, NEXT) == Release(back, NEXT)
    assert registry.promotions == [(back, NEXT)]


def test_rollback_without_another_champion_changes_nothing():
    registry = Versions("", "1")
    with pytest.raises(UserError, match="No hay un campeón anterior"):
        rollback(registry, ["1", "1"], NEXT)
    assert registry.promotions == []


def test_a_verdict_is_kept_beside_its_run(tmp_path):
    for approved in (True, False):
        found = verdict(True, approved)
        runs.save_verdict(found, tmp_path)
        assert runs.load_verdict(tmp_path) == found
        assert found.approved is approved


def test_the_last_evaluated_training_is_released(tmp_path):
    with pytest.raises(UserError, match="cuaderno 05"):
        runs.last_evaluated(tmp_path)
    for run in ("20260101T000000", "20260102T000000", "20260103T000000"):
        (tmp_path / run).mkdir()
    runs.save_verdict(verdict(True, True), tmp_path / "20260101T000000")
    runs.save_verdict(verdict(True, True), tmp_path / "20260102T000000")
    assert runs.last_evaluated(tmp_path) == "20260102T000000"
