"""The command line, each time in a process of its own that has the heaviest imports already.

What a command imports takes longer than most commands do. A server that has imported most of it,
and done nothing else, forks a process for each command (`multiprocessing`'s fork server; one a
worker of pytest, which ends with that). From there on all is as in ``python -m spotify_mlops``:
arguments, environment, folder, output, exit code. Under ``PYTHONPATH``, which Python reads as it
starts (the recorder of `rights` comes by it), the process is one that begins anew.
"""

from __future__ import annotations

import atexit
import functools
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from unittest import mock

_IMPORTED = (
    *("apache_beam", "confluent_kafka", "pydantic", "pymongo"),
    *("google.cloud.bigquery", "google.cloud.bigquery_storage"),
)
"""Heavy, and able to go on in a process that is forked; polars, whose threads end there, is not."""


def run(
    arguments: Sequence[str | Path],
    *,
    timeout: float = 600,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run ``spotify-mlops`` to its end, as ``subprocess.run`` does with its output as text.

    Args:
        arguments: what comes after the program's name.
        timeout: seconds.
        environment: variables of the process; those of this one as they are now by default.

    Raises:
        subprocess.TimeoutExpired: it was killed after ``timeout`` seconds.
    """
    words = [str(argument) for argument in arguments]
    variables = dict(os.environ if environment is None else environment)
    if "PYTHONPATH" in variables:
        anew = [sys.executable, "-m", "spotify_mlops", *words]
        return subprocess.run(
            anew, env=variables, capture_output=True, text=True, timeout=timeout, check=False
        )
    with tempfile.TemporaryDirectory(prefix="command-") as folder:
        files = [str(Path(folder) / name) for name in ("stdout", "stderr")]
        process = _server().Process(target=_command, args=(words, variables, os.getcwd(), files))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(words, timeout)
        said = [Path(file).read_text(encoding="utf-8") for file in files]
    return subprocess.CompletedProcess(words, process.exitcode, *said)


@functools.cache
def _server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_IMPORTED))
    with mock.patch.dict(os.environ):  # it is of no test: what looks for a test's own finds others
        for name in [name for name in os.environ if name.startswith("SPOTIFY_MLOPS_")]:
            del os.environ[name]
        forkserver.ensure_running()
    return context


def _command(
    words: list[str], variables: dict[str, str], folder: str, files: tuple[str, str]
) -> None:
    for number, file in enumerate(files, 1):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    sys.argv = ["spotify-mlops", *words]
    try:
        runpy.run_module("spotify_mlops", run_name="__main__", alter_sys=False)
    finally:  # which multiprocessing leaves out
        atexit._run_exitfuncs()
