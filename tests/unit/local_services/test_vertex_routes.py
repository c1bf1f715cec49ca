"""What the Vertex AI stand-in answers to requests that are not one of its calls."""

from __future__ import annotations

import asyncio
from pathlib import Path

import google.cloud.aiplatform_v1  # noqa: F401  whole: other tests here use its clients
import httpx
import pytest

from local_services.google_api import routes
from local_services.vertex.server import Server

LOCATION = "/v1/projects/p/locations/l"


def ask(folder: Path, method: str, path: str, body: bytes = b"") -> httpx.Response:
    async def once() -> httpx.Response:
        server = Server(folder, "key")
        headers = {"authorization": "Bearer key", "content-type": "application/json"}
        transport = httpx.ASGITransport(server.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answer = await client.request(method, path, content=body, headers=headers)
        server.store.close()
        return answer

    return asyncio.run(once())


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("GET", "/nada", b"", 501, "La ruta «GET /nada» no está en el Vertex AI local."),
        ("PUT", f"{LOCATION}/models", b"{}", 501, f"La ruta «PUT {LOCATION}/models» no está en el"),
        ("GET", f"{LOCATION}/models/", b"", 501, f"La ruta «GET {LOCATION}/models/» no está en"),
        ("POST", f"{LOCATION}/models:upload", b"{", 400, "no es JSON válido."),
        ("POST", f"{LOCATION}/models:upload", b"[]", 400, "debe ser un objeto JSON."),
        ("POST", f"{LOCATION}/models:upload", b'{"x": 1}', 400, "La petición no es válida: "),
        ("POST", f"{LOCATION}/models:upload", b" " * 101, 413, "La petición pasa de 0 MiB"),
        ("GET", f"{LOCATION}/models?filter=zz%3D1", b"", 400, "«filter» = «zz=1»: se puede"),
    ],
)
def test_a_refusal_is_googles_json_error_in_spanish(
    method: str,
    path: str,
    body: bytes,
    status: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routes, "_LONGEST_BODY", 100)
    answer = ask(tmp_path, method, path, body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert message in answer.json()["error"]["message"]
    assert answer.json()["error"]["code"] == status
