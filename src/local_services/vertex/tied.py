"""Run a command whose life is tied to its parent's: ``python tied.py PARENT COMMAND...``.

Run by its path, so that nothing else is imported. Linux kills the process when the parent dies,
also when that is killed itself; elsewhere the command outlives a parent that was killed, until
``spotify-mlops down`` finds it.
"""

from __future__ import annotations

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Become the command."""
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
