"""The state file of this checkout: which processes were started, where they listen, their logs.

One JSON file, replaced whole under a lock, so that readers never see half of it and two
writers never lose each other's change. It is not the only place that knows: see
``processes.recover``.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ...config import modes, paths
from ...config.errors import UserError
from .. import files

FILE = "state.json"
_log = logging.getLogger(__name__)
Kind = Literal["service", "app"]


@dataclass(frozen=True)
class Record:
    """What is known of one process.

    ``pid`` is None after an orderly stop; ports and addresses stay, to be used again.
    ``identity`` tells this process from a later one with the same pid.
    """

    name: str
    kind: Kind = "app"
    pid: int | None = None
    identity: str | None = None
    started: str | None = None
    log: str | None = None
    ports: dict[str, int] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)

    def stopped(self) -> Record:
        """Return the record of the same process after an orderly stop."""
        return replace(self, pid=None, identity=None)


def now() -> str:
    """Return the present instant as RFC 3339 UTC with seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def folder(name: str = "") -> Path:
    """Return (and make) a folder of the state directory, which is its owner's alone.

    Raises:
        UserError: the folder cannot be made or written.
    """
    path = paths.state_dir() / name
    try:
        path.mkdir(parents=True, exist_ok=True)
        top = paths.state_dir()
        if top.stat().st_mode & modes.PRIVATE:  # of an older version, or made by hand
            top.chmod(0o700)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UserError(
            f"No se puede escribir en la carpeta {path}: {error.strerror}. "
            "Cambia los permisos o pon otra carpeta en SPOTIFY_MLOPS_STATE."
        ) from error
    return path


def read() -> dict[str, Record]:
    """Return the records by name; none when nothing was ever started.

    A damaged file is set aside under another name, and the user is told.

    Raises:
        UserError: the file is not readable.
    """
    try:
        return _load()
    except _DamagedError:
        with locked("state"):
            return _load_or_set_aside()


def get(name: str) -> Record | None:
    """Return one record."""
    return read().get(name)


def put(*changed: Record) -> None:
    """Write some records, leaving the others as they are."""
    with locked("state"):
        records = _load_or_set_aside()
        records.update({record.name: record for record in changed})
        _write(records)


def remove(name: str) -> None:
    """Forget one record."""
    with locked("state"):
        records = _load_or_set_aside()
        if records.pop(name, None) is not None:
            _write(records)


@contextmanager
def locked(name: str, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock of this state directory; the system frees it when the process ends.

    Raises:
        BlockingIOError: another holds it, and ``wait`` is False.
    """
    with (folder() / f".{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _write(records: dict[str, Record]) -> None:
    path = paths.state_dir() / FILE
    content: dict[str, Any] = {
        "version": 1,
        "processes": {name: asdict(record) for name, record in sorted(records.items())},
    }
    files.replace(path, json.dumps(content, indent=2).encode() + b"\n", 0o600)


class _DamagedError(Exception):
    """The file is not what this program writes."""


def _load() -> dict[str, Record]:
    path = paths.state_dir() / FILE
    try:
        content = json.loads(path.read_bytes())
        return {name: Record(**value) for name, value in content["processes"].items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UserError(
            f"No se puede leer {path}: {error.strerror}. Cambia sus permisos."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _DamagedError(str(error)) from error


def _load_or_set_aside() -> dict[str, Record]:
    """Return the records; for whoever holds the lock."""
    try:
        return _load()
    except _DamagedError as error:
        path = paths.state_dir() / FILE
        aside = path.with_name(f"{FILE}.{datetime.now(UTC):%Y%m%dT%H%M%S%f}.damaged")
        os.replace(path, aside)
        _log.error(
            "%s estaba dañado (%s) y se ha guardado como %s. Lo que está en marcha se reconoce sin "
            "él: «spotify-mlops status».",
            *(path, error, aside.name),
        )
        return {}
