"""Run a command whose life is tied to its parent's: ``python tied.py PARENT COMMAND...``.

Run by its path, so that nothing else is imported. Linux kills the process when the parent dies,
also when that is killed itself; elsewhere the command outlives a parent that was killed, until
``spotify-mlops down`` finds it. It leads a session of its own, where a terminal's Ctrl-C does not
come.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def words() -> list[str]:
    """Return the words that go before a command of which this process is to be the parent."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid())]


def main(parent: int, command: list[str]) -> None:
    """Become the command."""
    with contextlib.suppress(PermissionError):  # it leads one already
        os.setsid()
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before
        sys.exit(1)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.stderr.write(f"No se puede ejecutar «{command[0]}»: {error.strerror}.\n")
        sys.exit(127)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
