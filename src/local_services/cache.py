"""The user's cache of built tools: whole or absent, and safe when two clones fill it at once."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spotify_mlops.config import paths
from spotify_mlops.config.errors import UserError
from spotify_mlops.config.progress import Progress, silent

_WORKSPACE = "workspace-"


def folder(name: str) -> Path:
    """Return (and make) a folder of the cache.

    Raises:
        UserError: the cache cannot be written.
    """
    path = paths.cache_dir() / name
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"No se puede escribir en la caché {path}: {error.strerror}. "
            "Cambia los permisos o pon otra carpeta en XDG_CACHE_HOME."
        ) from error
    return path


@contextmanager
def locked(name: str, progress: Progress = silent) -> Iterator[None]:
    """Hold the machine-wide lock of one part of the cache; says so when it has to wait."""
    path = folder("locks") / f"{name}.lock"
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"Otro proceso prepara «{name}»; se espera a que termine")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def workspace() -> Iterator[Path]:
    """Give a folder on the cache's file system, removed at the end: rename results out of it.

    Whoever is killed removes nothing: the next one does it.
    """
    with locked("workspaces"):
        for left in folder("").glob(f"{_WORKSPACE}*"):
            if (abandoned := _held(left)) is not None:
                shutil.rmtree(left, ignore_errors=True)
                os.close(abandoned)
        path = Path(tempfile.mkdtemp(prefix=_WORKSPACE, dir=folder("")))
        own = _held(path)
    assert own is not None
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(own)


def _held(path: Path) -> int | None:
    """Return a descriptor that holds a workspace until it is closed; None if it is another's."""
    try:
        descriptor = os.open(path / "held", os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:  # its owner has just removed it
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def publish(source: Path, target: Path) -> None:
    """Move a finished file or folder to its place in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        shutil.rmtree(target)
    os.replace(source, target)
