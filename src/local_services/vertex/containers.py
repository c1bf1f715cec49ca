"""A container spec run as a process of this machine: its command, variables, log and end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spotify_mlops.io import logs
from spotify_mlops.io.local import environment, processes, tied

from ..google_api.errors import ApiError

_REFERENCE = re.compile(r"\$\$\((\w+)\)|\$\((\w+)\)")
_PYTHON = ("python", "python3")
GRACE = 20.0
"""Seconds that a process has to end after TERM."""


@dataclass(frozen=True)
class Launch:
    """What to run."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    log: Path

    @classmethod
    def of(cls, spec: Any, given: Mapping[str, str], log: Path, path: str) -> Launch:
        """Read a container spec (of a model or of a job).

        Args:
            spec: the message, with command, args and env.
            given: the variables that Vertex AI sets; the spec's own win.
            log: where its output goes.
            path: the spec's place in the request, for the error.

        Raises:
            ApiError: FAILED_PRECONDITION when there is no command: images are not run here.
        """
        if not spec.command:
            raise ApiError.precondition(
                f"«{path}.command» está vacío: el Vertex AI local ejecuta la orden del "
                f"contenedor, no su imagen ({spec.image_uri})."
            )
        env = dict(given)
        for variable in spec.env:  # each may name those before it
            env[variable.name] = _expanded(variable.value, env)
        argv = [_expanded(part, env) for part in (*spec.command, *spec.args)]
        if argv[0] in _PYTHON:
            argv[0] = sys.executable
        return cls(tuple(argv), env, log)


def _expanded(text: str, env: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` as Vertex AI does: unknown names stay, ``$$(NAME)`` is an escape."""

    def value(match: re.Match[str]) -> str:
        if match[1]:
            return f"$({match[1]})"
        return env.get(match[2], match[0])

    return _REFERENCE.sub(value, text)


async def start(launch: Launch) -> asyncio.subprocess.Process:
    """Start the command in a session of its own; it dies with this process.

    Raises:
        ApiError: the system starts no process, or its log cannot be written.
    """
    own = {logs.LOG: str(launch.log)}
    try:
        launch.log.parent.mkdir(parents=True, exist_ok=True)
        logs.put_aside_when_full(launch.log)
        with launch.log.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                *tied.words(),
                *launch.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**environment.inherited(), **environment.outbound(), **launch.env, **own},
                start_new_session=True,
            )
    except (OSError, ValueError) as error:
        raise ApiError("INTERNAL", f"No se puede iniciar el proceso: {error}.") from error


async def end(process: asyncio.subprocess.Process, grace: float = GRACE) -> None:
    """End a process and its group: TERM, then KILL after ``grace`` seconds."""
    with contextlib.suppress(TimeoutError, ProcessLookupError):
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.wait(), grace)
    # And what it left in its group.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def explain(launch: Launch) -> str:
    """Return where the log is and how it ends, for an error message."""
    return f"Registro: {launch.log}\n{processes.tail(launch.log)}"
