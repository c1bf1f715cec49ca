"""What a process asks of Google: a line of JSON for each call, in the file that `FILE` names.

Python imports a module of this name when it starts, from the first folder of ``PYTHONPATH`` that
has one (https://docs.python.org/3/library/site.html): every process under that variable is heard.
HTTP is heard where all libraries here speak it, at the audit event of ``http.client``; gRPC, at
its channels; the log, where its client is given a token.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.util
import itertools
import json
import os
import re
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

FILE = "PYTHON_GOOGLE_CALLS"
"""Variable with the file; its beginning is one that processes of the project pass on."""
LENT = "PYTHON_GOOGLE_ACCOUNT"
"""Variable with the account of whoever started this process, and lends it."""
TEST, GOOGLE = "test", "google"
"""Not accounts of the platform: who plays its users, and what stands in for Google."""
_FORKED = "local_services.flink.worker"
"""Its processes are forked by one whose command names what it has loaded for them."""
_OWN = {
    _FORKED: "stream",
    "spotify_mlops.cli.training_job": "training",
    "spotify_mlops.serving": "serving",
}
"""The account of a process, by its module, whoever started it."""
_COMMANDS = {"stream": "watcher", "monitor": "monitor", "audit": "monitor", "archive": "monitor"}
"""The account of a command that the cloud starts by itself; of the others, who deploys."""
_REQUEST = re.compile(rb"([A-Z]+) (\S+) HTTP/1\.[01]\r\n")
_TEXT = re.compile(rb"\r\ncontent-type: (application/json|multipart/mixed)", re.IGNORECASE)
"""Bodies that say what is asked for; others are content."""
_BESIDE = "_background)"
"""How the names of threads end in which Cloud Storage's client looks at a bucket, to name it in its
traces; refused, it does without (``_bucket_metadata_cache.py``)."""


def account(words: Sequence[str], lent: str | None) -> str:
    """Return whose rights a process of a command line would have.

    >>> account(["python", "-m", "spotify_mlops", "stream"], None)
    'watcher'
    """
    if len(words) > 1 and words[-2] == "-c" and _FORKED in words[-1]:
        return _OWN[_FORKED]
    module = words[words.index("-m") + 1] if "-m" in words[:-1] else ""
    command = words[words.index("-m") + 2] if "-m" in words[:-2] else ""
    if module in _OWN:
        return _OWN[module]
    if module.partition(".")[0] == "local_services":
        return GOOGLE
    if module != "spotify_mlops":
        return lent or TEST
    return lent or _COMMANDS.get(command, "deployer")


class Recorder:
    """Writes down the calls of this process, until it is stopped."""

    def __init__(self, file: str, who: str) -> None:
        """Begin to listen."""
        self._who = who
        self._numbers = itertools.count()
        self._file: int | None = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        sys.addaudithook(self._hear)

    def stop(self) -> None:
        """Write nothing any more. What listens stays, as Python has it."""
        self._file = None

    def write(self, **said: Any) -> None:
        """Write a line: at once and whole, since a process may be killed at any time."""
        if self._file is not None:
            line = json.dumps({"who": self._who, "pid": os.getpid(), **said})
            os.write(self._file, f"{line}\n".encode())

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "http.client.send" or self._file is None:
            return
        connection, data = arguments
        if not isinstance(data, (bytes, bytearray, memoryview)):
            return
        said = vars(connection)
        request = _REQUEST.match(data)
        if request is not None:
            number = said["_number"] = next(self._numbers)
            said["_has_text"] = _TEXT.search(data) is not None
            method, path = (part.decode() for part in request.groups())
            where = f"{connection.host}:{connection.port}"
            beside = threading.current_thread().name.endswith(_BESIDE)
            self.write(call=number, where=where, method=method, path=path, beside=beside)
        elif said.get("_has_text"):
            self.write(call=said["_number"], body=data.decode(errors="replace"))

    def hear_channels(self, grpc: Any) -> None:
        """Hear the calls of the channels that are made from now on."""

        class Heard(
            grpc.UnaryUnaryClientInterceptor,  # type: ignore[name-defined, misc]
            grpc.UnaryStreamClientInterceptor,  # type: ignore[name-defined, misc]
            grpc.StreamUnaryClientInterceptor,  # type: ignore[name-defined, misc]
            grpc.StreamStreamClientInterceptor,  # type: ignore[name-defined, misc]
        ):
            def hear(heard, go_on: Callable[..., Any], details: Any, request: Any) -> Any:  # noqa: N805
                if details.method.startswith("/google."):
                    routing = dict(details.metadata or ()).get("x-goog-request-params", "")
                    self.write(call=next(self._numbers), rpc=details.method, routing=routing)
                return go_on(details, request)

            intercept_unary_unary = intercept_unary_stream = hear
            intercept_stream_unary = intercept_stream_stream = hear

        for name in ("insecure_channel", "secure_channel"):
            setattr(grpc, name, _heard(getattr(grpc, name), grpc.intercept_channel, Heard()))

    def hear_tokens(self, google_tokens: Any) -> None:
        """Hear who connects to the log as somebody known to Google."""
        give = google_tokens.token

        @functools.wraps(give)
        def token(*arguments: Any) -> Any:
            self.write(call=next(self._numbers), rpc="kafka", routing="")
            return give(*arguments)

        google_tokens.token = token


def _heard(make: Callable[..., Any], intercept: Callable[..., Any], heard: Any) -> Any:
    @functools.wraps(make)
    def channel(*arguments: Any, **named: Any) -> Any:
        return intercept(make(*arguments, **named), heard)

    return channel


class After(importlib.abc.MetaPathFinder):
    """Has something done with a module as soon as it has been imported."""

    def __init__(self, done: dict[str, Callable[[Any], None]]) -> None:
        """Say what, by the modules' names."""
        self._done = done

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        """Find the module as it would be found, and have its execution followed."""
        done = self._done.pop(name, None)
        spec = None if done is None else importlib.util.find_spec(name)
        if done is None or spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_do(module: Any) -> None:
            execute(module)
            done(module)

        spec.loader.exec_module = execute_and_do  # type: ignore[method-assign]
        return spec


def _begin(file: str) -> None:
    who = account(sys.orig_argv, os.environ.get(LENT))
    if who not in (TEST, GOOGLE):
        os.environ[LENT] = who
    recorder = Recorder(file, who)
    done = {"grpc": recorder.hear_channels}
    done["spotify_mlops.io.kafka.google_tokens"] = recorder.hear_tokens
    sys.meta_path.insert(0, After(done))


if __name__ == "sitecustomize" and FILE in os.environ:
    _begin(os.environ[FILE])
