"""Commands that are not the project's: run where they are, with each line told as it comes."""

from __future__ import annotations

import shutil
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from ....config.errors import ServiceError
from ....config.progress import Progress

_TAIL_LINES = 8
"""Of a command's output that its error has."""


def is_there(name: str) -> bool:
    """Tell whether a command is on the path."""
    return shutil.which(name) is not None


def run(
    argv: Sequence[str], folder: Path, say: Progress, environment: Mapping[str, str] | None = None
) -> None:
    """Run a command to its end.

    Args:
        argv: the command and its arguments; secrets are in the environment.
        folder: where it works.
        say: is told each line that it writes.
        environment: all of it; by default this process's own.

    Raises:
        ServiceError: it failed; the message has the end of what it wrote.
    """
    last: deque[str] = deque(maxlen=_TAIL_LINES)
    with subprocess.Popen(
        argv,
        cwd=folder,
        env=None if environment is None else dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if text := line.strip():
                    last.append(text)
                    say(f"{argv[0]}: {text}")
        except KeyboardInterrupt:
            # The terminal has told it too: cut off in the middle of its work it would leave locks.
            say(f"{argv[0]}: se espera a que acabe lo que tiene a medias")
            process.communicate()
            raise
    if process.returncode:
        raise failed(argv, process.returncode, "\n".join(last))


def failed(argv: Sequence[str], status: int, said: str) -> ServiceError:
    """Return the error of a command that failed, with what it said of it."""
    command = " ".join(argv[:2])
    return ServiceError(f"«{command}» falló (código {status}).\n{said}".rstrip())
