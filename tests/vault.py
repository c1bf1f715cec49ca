"""Secret Manager for tests: its route that reads a version, for the official client over REST."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import google_crc32c

from spotify_mlops.config import params
from spotify_mlops.config.params import Params


class Vault(ThreadingHTTPServer):
    """Secret Manager's REST route that reads a version, for the official client."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Version)
        self.values: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.spoilt = False

    @property
    def params(self) -> Params:
        return params.load(
            "local", secret_manager=f"http://127.0.0.1:{self.server_port}", project="p1",
            service_timeout="60s",
        )  # fmt: skip


class Version(BaseHTTPRequestHandler):
    server: Vault

    def do_GET(self) -> None:
        name = self.path.partition("?")[0].removeprefix("/v1/").removesuffix(":access")
        self.server.asked.append(name)
        value = self.server.values.get(name)
        if value is None:
            status = 403 if "forbidden" in name else 404
            self._send(status, {"error": {"code": status, "message": "no", "status": "X"}})
            return
        crc = google_crc32c.value(value) + self.server.spoilt
        data = base64.b64encode(value).decode()
        self._send(200, {"name": name, "payload": {"data": data, "dataCrc32c": str(crc)}})

    def _send(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running() -> Iterator[Vault]:
    """Serve an empty one."""
    with Vault() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
