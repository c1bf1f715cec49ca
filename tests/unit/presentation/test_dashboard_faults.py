"""What the live page does with requests that it never sends, and with its own failures."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import polars as pl
import pytest
from werkzeug.test import Client

from spotify_mlops.config.params import Params
from spotify_mlops.io.http import listening, peers, ports
from spotify_mlops.presentation.dashboard import notices, page, parts, queries, watch
from spotify_mlops.presentation.dashboard.panels import panels
from spotify_mlops.presentation.dashboard.queries import Extent
from spotify_mlops.presentation.dashboard.watch import Choice, Watch

PARAMS = Params(profile="test").replace(lags=[1, 24])
CALLBACKS = "/_dash-update-component"
HOST = {"Host": "127.0.0.1:8050"}
CHOICE: dict[str, Any] = {
    "paises": [], "niveles": [], "modelos": [], "ventanas": ["24"], "tiempo": ["15m"]
}  # fmt: skip
WAIT = 60.0
OTHER_USER = 65534


@pytest.fixture(scope="module")
def client() -> Client:
    return Client(page.guarded(page.application(PARAMS, Watch(PARAMS))))


@pytest.fixture(scope="module")
def output(client: Client) -> str:
    """Return what Dash calls the callback that refreshes the page."""
    callbacks = json.loads(client.get("/_dash-dependencies", headers=HOST).text)
    return next(each["output"] for each in callbacks if "versions.data" in each["output"])


def refreshing(
    output: str, chosen: Any = CHOICE, board: Any = "business", versions: Any = None
) -> dict[str, Any]:
    """Return what the page sends at each tick, or something like it."""
    return {
        "output": output,
        "outputs": [_filled(name) for name in output.strip(".").split("...")],
        "inputs": [
            {"id": "tick", "property": "n_intervals", "value": 1},
            {"id": "choice", "property": "data", "value": chosen},
        ],
        "state": [
            {"id": "board", "property": "data", "value": board},
            {"id": "versions", "property": "data", "value": {} if versions is None else versions},
        ],
        "changedPropIds": ["tick.n_intervals"],
    }


def _filled(output: str) -> Any:
    """Return an output as the page names it: with each of the panels, if it is of many."""
    name, _, what = output.rpartition(".")
    if not name.startswith("{"):
        return {"id": name, "property": what}
    (kind,) = json.loads(name)
    return [
        {"id": {kind: panel.name}, "property": what}
        for panel in panels(PARAMS)
        if panel.board == "business" and (panel.kind in parts.CHARTS) == (kind != "content")
    ]


def sent(client: Client, body: Any) -> int:
    """Send a body to the page's callbacks; return the status."""
    kind = "application/json"
    data = json.dumps(body)
    return client.post(CALLBACKS, data=data, content_type=kind, headers=HOST).status_code


def test_what_the_page_would_not_send_is_400(client: Client, output: str) -> None:
    poisons = [[None], None, {}, [], 1, "x", {"a": 1}, [[]], {"output": 1}, {"output": output}]
    bodies = [
        *poisons,
        *(refreshing(output, chosen) for chosen in poisons),
        *(refreshing(output, CHOICE | {name: poison}) for name in CHOICE for poison in poisons
          if poison != [] or name in ("ventanas", "tiempo")),
        *(refreshing(output, board=board) for board in poisons),
        *(refreshing(output, versions=versions) for versions in (1, "x", [None])),
        refreshing(output, CHOICE | {"paises": ["x" * 1000]}),
        refreshing(output, CHOICE | {"paises": ["x"] * 1000}),
        refreshing(output) | {"inputs": [None]},
    ]  # fmt: skip
    for body in bodies:
        assert sent(client, body) == 400, body
    assert sent(client, refreshing(output)) == 200
    deep = b"[" * 100_000
    answer = client.post(CALLBACKS, data=deep, content_type="application/json", headers=HOST)
    assert answer.status_code == 400
    assert client.get("/?board=nada&paises=%00", headers=HOST).status_code == 200


def test_a_failure_of_the_project_is_500(
    client: Client, output: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> Any:
        raise KeyError("a defect")

    monkeypatch.setattr(page, "notices", fail)
    assert sent(client, refreshing(output)) == 500
    assert "a defect" in caplog.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://127.0.0.1:8050", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_other_sites_are_refused(
    client: Client, output: str, headers: dict[str, str], status: int
) -> None:
    asked = HOST | {"Content-Type": "application/json"} | headers
    body = json.dumps(refreshing(output))
    answer = client.post(CALLBACKS, data=body, headers=asked)
    assert answer.status_code == status
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_the_policy_names_every_inline_script(client: Client) -> None:
    answer = client.get("/", headers=HOST)
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe-eval" not in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    kinds = re.findall(r"<script((?: [^>]*)?)>(.*?)</script>", answer.text, re.DOTALL)
    inline = [text for given, text in kinds if "src=" not in given and "json" not in given]
    assert len(inline) >= 4
    for text in inline:
        digest = b64encode(sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy, text[:80]
    for name in ("X-Content-Type-Options", "Referrer-Policy"):
        assert name in answer.headers


# The watcher


@contextmanager
def watching() -> Iterator[Watch]:
    found = Watch(PARAMS).start()
    try:
        yield found
    finally:
        found.close()


def test_a_failed_refresh_is_told_logged_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "REFRESH_SECONDS", 0.01)
    healed, attempts = threading.Event(), []

    def counts(_: Params) -> dict[str, int]:
        attempts.append(None)
        if not healed.is_set():
            raise TypeError("a defect")
        raise watch.UserError("reached")

    monkeypatch.setattr(queries, "row_counts", counts)
    choice = Choice("business")
    with watching() as found:
        seen = found.look(choice, WAIT)
        assert seen.failure == "TypeError: a defect"
        (notice,) = notices.notices(PARAMS.windows, seen, datetime.now(UTC))
        assert notice.status == "critical" and "a defect" in notice.text
        assert "Traceback" in caplog.text
        before = len(attempts)
        healed.set()
        with found._changed:
            assert found._changed.wait_for(lambda: found._away_since, WAIT)
        assert len(attempts) > before and found.look(choice).failure is None


def test_a_choice_that_fails_keeps_no_other_from_being_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    monkeypatch.setattr(watch, "REFRESH_SECONDS", 0.01)
    monkeypatch.setattr(queries, "row_counts", lambda _: defaultdict(int))
    monkeypatch.setattr(
        queries, "extent", lambda _: Extent(("CO", "ES"), (), now, now, None, None, None)
    )

    def run(_: Params, panel: Any, selection: queries.Selection) -> pl.DataFrame:
        if selection.countries == ("ES",):
            raise TypeError("a defect")
        return pl.DataFrame({"value": [1]})

    monkeypatch.setattr(queries, "run", run)
    good, bad = Choice("business", ("CO",)), Choice("business", ("ES",))
    with watching() as found:
        found.look(good)
        found.look(bad)
        with found._changed:
            kept = found._kept
            assert found._changed.wait_for(lambda: kept[bad].failure, WAIT)
        assert found.look(good, WAIT).complete
        assert found.look(good).failure is None
        assert found.look(bad).failure == "TypeError: a defect"


def test_only_the_last_choices_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Watch(PARAMS)
    for number in range(3 * watch._MOST_CHOICES):
        found.look(Choice("business", models=(str(number),)))
    assert len(found._looked_at()) == watch._MOST_CHOICES == len(found._kept)
    assert Choice("business", models=(str(number),)) in found._kept


# The server


def answer(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


@contextmanager
def listening_on(monkeypatch: pytest.MonkeyPatch, **limits: float) -> Iterator[int]:
    """Serve on a free port, which it gives, with other limits."""
    for name, limit in limits.items():
        monkeypatch.setattr(listening, name, limit)
    port = ports.free()
    server = listening.Server(answer, ports.HOST, port)
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            server.asyncore.loop(timeout=0.02, map=server._map, use_poll=True, count=1)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield port
    finally:
        ended.set()
        thread.join()
        server.task_dispatcher.shutdown()
        server.asyncore.close_all(server._map)


def ask(port: int) -> int:
    connection = http.client.HTTPConnection(ports.HOST, port, timeout=WAIT)
    connection.request("GET", "/")
    status = connection.getresponse().status
    connection.close()
    return status


def ended(connection: socket.socket) -> None:
    """Wait until the server closes a connection."""
    with suppress(ConnectionResetError):
        while connection.recv(1000):
            pass


def test_who_asks_gets_in_however_many_only_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening_on(monkeypatch, CONNECTIONS=10) as port, ExitStack() as opened:
        silent = []
        for number in range(60):
            address = (ports.HOST, port)
            client = opened.enter_context(socket.create_connection(address, timeout=WAIT))
            client.sendall(b"GET / HTTP/1.1\r\nhost: he" if number % 2 else b"")
            silent.append(client)
        assert ask(port) == 200
        for client in silent[:40]:
            ended(client)


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HT", b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n1"]
)
def test_half_a_request_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    with listening_on(monkeypatch, PATIENCE_SECONDS=0.05) as port:
        with socket.create_connection((ports.HOST, port), timeout=WAIT) as client:
            client.sendall(sent)
            ended(client)
        assert ask(port) == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\na: " + b"x" * 100_000, b"431"),
        (b"POST / HTTP/1.1\r\ncontent-length: 9999999\r\n\r\n", b"413"),
    ],
)
def test_requests_have_a_size(monkeypatch: pytest.MonkeyPatch, sent: bytes, status: bytes) -> None:
    with (
        listening_on(monkeypatch) as port,
        socket.create_connection((ports.HOST, port), timeout=WAIT) as client,
    ):
        client.sendall(sent)
        assert client.recv(1000).split()[1] == status


def test_other_users_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "is_owner", lambda client, server: False)
    with (
        listening_on(monkeypatch) as port,
        socket.create_connection((ports.HOST, port), timeout=WAIT) as client,
    ):
        ended(client)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_id_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening_on(monkeypatch) as port:
        program = (
            f"import encodings.idna, os, socket; os.setuid({OTHER_USER}); "
            f"c = socket.create_connection(('{ports.HOST}', {port}), timeout={WAIT});\n"
            "try:\n c.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n'); print(c.recv(100))\n"
            "except ConnectionError: print(b'')"
        )
        done = subprocess.run(
            [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "b''"
        assert ask(port) == 200
