"""HTTP servers of a test, on loopback: answers in JSON, served while a block runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

_Server = TypeVar("_Server", bound=ThreadingHTTPServer)
_POLL_SECONDS = 0.01
"""How soon it ends when it is told to."""


class Answering(BaseHTTPRequestHandler):
    """A handler that says nothing of what it does; a subclass has ``do_GET`` or ``do_POST``."""

    def answer(self, content: object, status: int = 200, **headers: str) -> None:
        """Send JSON; ``_`` stands for the hyphen in names of headers."""
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(server: _Server) -> Iterator[_Server]:
    """Serve while the block runs; afterwards nothing listens."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
