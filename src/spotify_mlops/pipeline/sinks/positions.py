"""Where the position of a job is kept: beside the archive, one small file a topic.

In a bucket its one writer holds a lease, and each write says which position it replaces: a job
that was taken for dead cannot undo what another one did since.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from ...config.errors import IntegrityError, ServiceError
from ...config.params import Params
from ...io import files
from ...io.archive.location import archive_root
from ...io.local import state
from ...io.storage import lease, objects
from ...io.storage.lease import Lease
from ..position import Position


def position_file(params: Params) -> str:
    """Return the file that holds the position of the params' streaming job."""
    return f"{archive_root(params)}/progress/{params.kafka.topic}.json"


@contextmanager
def exclusive(params: Params) -> Iterator[None]:
    """Be the one process that writes a log's tables and moves its position.

    With the archive in a folder, of this checkout; in a bucket, of all that share it.

    Raises:
        ServiceError: another one does.
    """
    uri = position_file(params)
    try:
        with state.locked(f"position-{params.profile}-{params.kafka.topic}", wait=False):
            if not objects.has_generations(uri):
                yield
                return
            with lease.held(f"{uri}.lease", wait=False) as held:
                found = objects.read(uri)
                _fences[uri] = _Fence(held, 0 if found is None else found.generation)
                try:
                    yield
                finally:
                    del _fences[uri]
    except BlockingIOError:
        raise ServiceError(
            f"Otro proceso ya escribe las tablas de {params.kafka.topic} (perfil "
            f"{params.profile}). Espera a que acabe, o detenlo con «spotify-mlops down»."
        ) from None


@dataclass
class _Fence:
    """What a writer in a bucket has to show: its lease, and the position that it replaces."""

    lease: Lease
    generation: int


_fences: dict[str, _Fence] = {}


def save(params: Params, position: Position) -> None:
    """Replace the saved position; in a bucket, within `exclusive`.

    Raises:
        IntegrityError: another process has written the position since.
        ServiceError: it cannot be written.
    """
    uri = position_file(params)
    if not objects.has_generations(uri):
        files.write_bytes(uri, position.to_json())
        return
    fence = _fences.get(uri)
    if fence is None:
        raise RuntimeError(f"{uri} is written by whom `exclusive` lets")
    fence.lease.check()
    try:
        fence.generation = objects.write(uri, position.to_json(), replaces=fence.generation)
    except objects.ConflictError:
        raise IntegrityError(lease.lost(uri)) from None


def load(params: Params) -> Position | None:
    """Return the saved position; None before the first run.

    Raises:
        IntegrityError: the file is not a position.
    """
    content = files.read_bytes(position_file(params))
    if content is None:
        return None
    try:
        return Position.from_json(content)
    except msgspec.DecodeError as error:
        raise IntegrityError(f"{position_file(params)} no es una posición: {error}.") from error
