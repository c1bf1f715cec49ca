"""Secret Manager for tests: its route that reads a version, for the official client over REST."""

from __future__ import annotations

import base64
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import google_crc32c

from loopback import Answering, serving
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


class Version(Answering, BaseHTTPRequestHandler):
    server: Vault

    def do_GET(self) -> None:
        name = self.path.partition("?")[0].removeprefix("/v1/").removesuffix(":access")
        self.server.asked.append(name)
        value = self.server.values.get(name)
        if value is None:
            status = 403 if "forbidden" in name else 404
            error = {"code": status, "message": "no", "status": "X"}
            self.answer({"error": error}, status)
            return
        crc = google_crc32c.value(value) + self.server.spoilt
        data = base64.b64encode(value).decode()
        self.answer({"name": name, "payload": {"data": data, "dataCrc32c": str(crc)}})


def running() -> AbstractContextManager[Vault]:
    """Serve an empty one."""
    return serving(Vault())
