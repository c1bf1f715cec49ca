"""A prediction server as a process of its own, asked as its clients do."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

from spotify_mlops.io.http import guard, ports

WAIT = 60.0
KEY = "0123456789abcdef" * 4
HEADERS = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}


class Server:
    """A running server."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port
        self.says = ""
        """What it is to write to its log until its end: a regular expression."""

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)

    def ask(self, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = self.connect()
        connection.request("POST" if body else "GET", path, body, HEADERS)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds; fail if the server ends before, or it takes too long."""
        deadline, pause = time.monotonic() + WAIT, threading.Event()
        while not condition():
            assert self.process.poll() is None
            assert time.monotonic() < deadline
            pause.wait(0.02)

    def lets_nobody_in(self) -> bool:
        with contextlib.suppress(ConnectionResetError):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except ConnectionRefusedError:
                return True
        return False

    def counts(self, line: str) -> bool:
        return f"\n{line}\n".encode() in self.ask("/metrics")[1]


def variables(port: int) -> dict[str, str]:
    """Return the environment of a server: this one's, with its port and its key."""
    return os.environ | {"AIP_HTTP_PORT": str(port), guard.VARIABLE: KEY}


@contextlib.contextmanager
def serving(*arguments: str, **environment: str) -> Iterator[Server]:
    """Run a server; it is healthy when the context begins, and must end with status 0."""
    port = ports.free()
    process = subprocess.Popen(
        [sys.executable, "-m", "spotify_mlops.serving", *arguments],
        env=variables(port) | environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    server = Server(process, port)

    def is_healthy() -> bool:
        with contextlib.suppress(OSError):
            return server.ask("/health")[0] == 200
        return False

    try:
        server.wait_for(is_healthy)
        yield server
        process.terminate()
        assert re.fullmatch(server.says, process.communicate(timeout=WAIT)[1])
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
