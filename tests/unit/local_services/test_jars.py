"""Locked jars: what does not have its hash is not used."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_services import cache, jars
from spotify_mlops.config.errors import IntegrityError

COORDINATE = "org.example:thing:1.0"
CONTENT = b"a jar"
SHA256 = "5a3b0df09ca0a5aab8bbabd9dbd9b0c8d8b0d8e8d3a3f2c7c5d9a1c3a6d6b5c1"


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the network by a file of known content; returns what was asked for."""
    import hashlib

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    asked: list[str] = []

    def download(coordinate: str, work: Path) -> Path:
        asked.append(coordinate)
        file = work / "file.jar"
        file.write_bytes(CONTENT)
        return file

    good = hashlib.sha256(CONTENT).hexdigest()
    monkeypatch.setattr(jars, "_download", download)
    monkeypatch.setattr(
        jars,
        "locked_hashes",
        lambda: {"good": {COORDINATE: good}, "bad": {COORDINATE: SHA256}},
    )
    return asked


def test_a_jar_is_fetched_once(downloads: list[str]) -> None:
    (file,) = jars.classpath("good")
    assert file.read_bytes() == CONTENT
    assert jars.classpath("good") == [file]
    assert downloads == [COORDINATE]


def test_a_jar_that_changed_on_disk_is_fetched_again(downloads: list[str]) -> None:
    (file,) = jars.classpath("good")
    file.write_bytes(b"tampered with")
    assert jars.classpath("good")[0].read_bytes() == CONTENT
    assert downloads == [COORDINATE] * 2


def test_a_wrong_hash_is_refused_and_nothing_is_left(downloads: list[str]) -> None:
    with pytest.raises(IntegrityError, match=COORDINATE):
        jars.classpath("bad")
    assert not list(cache.folder("jars").glob("*.jar"))


def test_every_asked_coordinate_is_locked_with_a_sha256() -> None:
    locked = jars.locked_hashes()
    for name, coordinates in jars.COORDINATES.items():
        assert set(coordinates) <= set(locked[name])
        assert all(len(sha256) == 64 for sha256 in locked[name].values())
