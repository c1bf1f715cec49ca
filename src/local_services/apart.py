"""Services and a state directory for one piece of work, beside the checkout's own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from spotify_mlops.config import paths
from spotify_mlops.config.errors import UserError
from spotify_mlops.config.progress import Progress, silent
from spotify_mlops.io.local import state

from . import services

BENCH = "bench"
"""The name of the folder of a benchmark."""


@contextmanager
def apart(name: str, progress: Progress = silent) -> Iterator[None]:
    """Give this process services of its own, empty, and remove all that is theirs afterwards.

    They live in a folder of the state directory. The checkout's services, what runs on them and
    their data stay as they are. What a killed process left of such work goes first.

    Args:
        name: of the folder; one process at a time has it.
        progress: receives short Spanish messages.

    Raises:
        UserError: another process has it.
        ServiceError: a service does not start, or does not end.
    """
    folder = state.folder().resolve() / name
    with ExitStack() as stack:
        try:
            stack.enter_context(state.locked(name, wait=False))
        except BlockingIOError as error:
            raise UserError(f"Otro proceso usa la carpeta {folder}: espera a que acabe.") from error
        stack.enter_context(_state_dir(folder))
        _remove()
        stack.callback(_remove)
        services.up(progress)
        yield


def end_abandoned(name: str) -> None:
    """Remove what a killed process left of such work; of one that goes on, nothing.

    Raises:
        ServiceError: a service does not end.
    """
    folder = paths.state_dir().resolve() / name
    if not folder.exists():
        return
    with suppress(BlockingIOError), state.locked(name, wait=False), _state_dir(folder):
        _remove()


@contextmanager
def _state_dir(folder: Path) -> Iterator[None]:
    """Let this process, and those that it starts, have another state directory meanwhile."""
    before = os.environ.get("SPOTIFY_MLOPS_STATE")
    os.environ["SPOTIFY_MLOPS_STATE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["SPOTIFY_MLOPS_STATE"]
        else:
            os.environ["SPOTIFY_MLOPS_STATE"] = before


def _remove() -> None:
    """End what runs of this state directory, and remove it."""
    services.down()
    folder = paths.state_dir()
    if folder.exists():
        shutil.rmtree(folder)
