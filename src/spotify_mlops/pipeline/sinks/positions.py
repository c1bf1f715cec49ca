"""Where the position of a job is kept: beside the archive, one small file a topic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from ...config.errors import IntegrityError, ServiceError
from ...config.params import Params
from ...io import files
from ...io.archive.location import archive_root
from ...io.local import state
from ..position import Position


def position_file(params: Params) -> str:
    """Return the file that holds the position of the params' streaming job."""
    return f"{archive_root(params)}/progress/{params.kafka.topic}.json"


@contextmanager
def exclusive(params: Params) -> Iterator[None]:
    """Be the one process of this checkout that writes a log's tables and moves its position.

    Raises:
        ServiceError: another one does.
    """
    try:
        with state.locked(f"position-{params.profile}-{params.kafka.topic}", wait=False):
            yield
    except BlockingIOError:
        raise ServiceError(
            f"Otro proceso ya escribe las tablas de {params.kafka.topic} (perfil "
            f"{params.profile}). Espera a que acabe, o detenlo con «spotify-mlops down»."
        ) from None


def save(params: Params, position: Position) -> None:
    """Replace the saved position."""
    files.write_bytes(position_file(params), position.to_json())


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
