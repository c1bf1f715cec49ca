"""A server of Cloud Storage for tests: gcp-storage-emulator, and the generations that it ignores.

Cloud Storage refuses a request whose ``ifGenerationMatch`` is not the object's generation (0 where
there is none) with 412: https://cloud.google.com/storage/docs/request-preconditions.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from apache_beam.internal.gcp import auth
from gcp_storage_emulator import server as emulator
from gcp_storage_emulator.handlers import objects
from google.cloud import storage

from spotify_mlops.io.http import ports

BUCKET = "archive"
URL = f"gs://{BUCKET}"
asked: list[tuple[str, str]] = []
"""What it is asked while it runs, each a method and a path."""


class _PreconditionError(Exception):
    """The object has another generation than the request says."""


class _Storage(emulator.Storage):
    """Objects that are replaced only as the request under way says; requests come one by one."""

    expected: str | None = None

    def check(self, bucket: str, name: str) -> None:
        found = self.objects.get(bucket, {}).get(name, {}).get("generation", "0")
        if self.expected not in (None, found):
            raise _PreconditionError(f"{bucket}/{name}: {found}, not {self.expected}")

    def create_file(self, bucket: str, name: str, *content: Any) -> Any:
        self.check(bucket, name)
        return super().create_file(bucket, name, *content)

    def delete_file(self, bucket: str, name: str) -> Any:
        self.check(bucket, name)
        return super().delete_file(bucket, name)

    def get_file(self, bucket: str, name: str, show_error: bool = True) -> Any:
        self.check(bucket, name)
        return super().get_file(bucket, name, show_error)


class _Router(emulator.Router):
    """Remembers what is asked."""

    def handle(self, method: str) -> None:
        asked.append((method, self._request_handler.path))
        super().handle(method)


def _conditional(handler: Callable[..., Any]) -> Callable[..., Any]:
    def handle(request: Any, response: Any, store: Any, *rest: Any) -> None:
        store.expected = request.query.get("ifGenerationMatch", [None])[0]
        try:
            handler(request, response, store, *rest)
        except _PreconditionError as error:
            response.status = HTTPStatus.PRECONDITION_FAILED
            body = {"code": 412, "message": str(error), "errors": [{"reason": "conditionNotMet"}]}
            response.write_file(json.dumps({"error": body}).encode(), "application/json")
        finally:
            store.expected = None

    return handle


_HANDLERS = tuple(
    (
        pattern,
        {
            method: _conditional(handler) if handler.__module__ == objects.__name__ else handler
            for method, handler in methods.items()
        },
    )
    for pattern, methods in emulator.HANDLERS
)


@contextmanager
def running() -> Iterator[storage.Bucket]:
    """Serve one empty bucket, in memory; every client of this process and its children finds it."""
    port = ports.free()
    before = {name: getattr(emulator, name) for name in ("HANDLERS", "Router", "Storage")}
    environment = os.environ.get("STORAGE_EMULATOR_HOST")
    service_credentials = auth.get_service_credentials
    emulator.HANDLERS, emulator.Router, emulator.Storage = _HANDLERS, _Router, _Storage
    asked.clear()
    served = emulator.create_server(ports.HOST, port, in_memory=True, default_bucket=BUCKET)
    served.start()
    os.environ["STORAGE_EMULATOR_HOST"] = f"http://{ports.HOST}:{port}"
    auth.get_service_credentials = lambda _: None  # Beam looks for them for 20 s
    try:
        yield storage.Client(project="test").bucket(BUCKET)
    finally:
        served.stop()
        for name, value in before.items():
            setattr(emulator, name, value)
        auth.get_service_credentials = service_credentials
        if environment is None:
            del os.environ["STORAGE_EMULATOR_HOST"]
        else:
            os.environ["STORAGE_EMULATOR_HOST"] = environment
