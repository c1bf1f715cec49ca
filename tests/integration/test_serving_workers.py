"""Several prediction processes behind one port: the same answers, one change of model, no end."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

import prediction_server
import tiny_model
from prediction_server import HEADERS, Server
from spotify_mlops.io import retry
from spotify_mlops.io.http import ports
from spotify_mlops.io.local.running import has_ended
from spotify_mlops.model import bundle
from spotify_mlops.model.predictor import Predictor
from spotify_mlops.model.promotions import PromotionHistory

WAIT = prediction_server.WAIT


@dataclass
class World:
    """A server of several processes, and who says which model is the champion."""

    server: Server
    promotions: PromotionHistory
    body: bytes

    def workers(self) -> list[psutil.Process]:
        """Return the processes that answer."""
        return psutil.Process(self.server.process.pid).children()

    def health(self) -> dict[str, Any]:
        return json.loads(self.server.ask("/health")[1])

    def promote(self, version: int) -> None:
        start = tiny_model.START + timedelta(hours=version)
        self.promotions.promote(str(version), start)

    @contextlib.contextmanager
    def only(self, worker: psutil.Process) -> Iterator[None]:
        """Hold the other workers still: who connects now is accepted by this one."""
        others = [other for other in self.workers() if other != worker]
        for other in others:
            other.suspend()
        try:
            for other in others:
                self.server.wait_for(lambda o=other: o.status() == psutil.STATUS_STOPPED)
            yield
        finally:
            for other in others:
                with contextlib.suppress(psutil.NoSuchProcess):  # the test has killed it
                    other.resume()

    def connect(self, worker: psutil.Process) -> http.client.HTTPConnection:
        """Return a connection that a worker has accepted, and keeps."""
        connection = self.server.connect()
        with self.only(worker):
            assert send(connection, self.body)[0] == 200
        return connection


@contextlib.contextmanager
def serving(folder: Path, workers: int = 2, versions: int = 8) -> Iterator[World]:
    settings = tiny_model.settings().replace(archive=str(folder))
    promotions = PromotionHistory(settings)
    for number, path in enumerate(tiny_model.bundles(folder, versions), 1):
        promotions.keep(str(number), path)
    promotions.promote("1", tiny_model.START)
    file = folder / "params.yaml"
    file.write_text(yaml.safe_dump(settings.model_dump(mode="json")), encoding="utf-8")
    row = dict.fromkeys(Predictor.load(promotions.bundle("1")).features, 1.0)
    body = json.dumps({"instances": [row]}).encode()
    with prediction_server.serving("--params", str(file), "--workers", str(workers)) as server:
        yield World(server, promotions, body)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with serving(tmp_path) as world:
        yield world


def send(connection: http.client.HTTPConnection, body: bytes) -> tuple[int, bytes]:
    connection.request("POST", "/predict", body, HEADERS)
    answer = connection.getresponse()
    return answer.status, answer.read()


def model_of(answer: bytes) -> int:
    """Return the version that answered."""
    return int(json.loads(answer)["predictions"][0]["model"].partition("@")[2])


def test_every_worker_gives_the_same_bytes(world: World) -> None:
    rows = tiny_model.data()[0].tail(200).select(list(json.loads(world.body)["instances"][0]))
    instances = rows.to_dicts()
    bodies = [json.dumps({"instances": [instance]}).encode() for instance in instances]
    bodies.append(json.dumps({"instances": instances * 10}).encode())
    bodies += [b"no JSON", b'{"instances": []}', b'{"instances": [{"hour_of_day": 1}]}']
    connections = [world.connect(worker) for worker in world.workers()]
    assert len(connections) == 2
    for body in bodies:
        first, second = (send(connection, body) for connection in connections)
        assert first == second
    assert world.health() == {"status": "ok", "model": "popularity@1", "workers": 2}
    # Whoever is asked answers for both.
    count = 2 * (len(bodies) - 3) + 2
    counted = f'endpoint_requests_total{{status="200"}} {count}.0'
    refused = 'endpoint_requests_total{status="400"} 6.0'
    for line in (counted, refused):  # an answer is counted after it was sent
        world.server.wait_for(lambda line=line: world.server.counts(line))
    texts = []
    for worker in world.workers():
        with world.only(worker):
            texts.append(world.server.ask("/metrics")[1].decode())
    for text in texts:
        assert f"\n{counted}\n" in text
        assert f"\n{refused}\n" in text
        assert '\nendpoint_model{model="popularity@1"} 1.0\n' in text
        assert '\nendpoint_model_loads_total{result="ok"} 1.0\n' in text
        assert "\nendpoint_workers 2.0\n" in text


@dataclass
class Client:
    """Asks over one connection, again and again, and keeps when, and who answered."""

    connection: http.client.HTTPConnection
    body: bytes
    seen: list[tuple[int, int, int]] = field(default_factory=list)
    """When a request began and ended, in nanoseconds, and the version that answered."""
    failure: BaseException | None = None

    def run(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                began = time.monotonic_ns()
                status, answer = send(self.connection, self.body)
                assert status == 200, answer
                self.seen.append((began, time.monotonic_ns(), model_of(answer)))
        except BaseException as error:
            self.failure = error


@contextlib.contextmanager
def asking(world: World, clients: Sequence[Client]) -> Iterator[None]:
    """Let clients ask meanwhile; each has had an answer before the block begins."""
    stop = threading.Event()
    threads = [threading.Thread(target=client.run, args=(stop,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        world.server.wait_for(lambda: all(client.seen or client.failure for client in clients))
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert [client.failure for client in clients if client.failure] == []


def later_by_an_earlier_model(seen: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Return the answers whose request began after somebody had one by a later version."""
    by_end = sorted(seen, key=lambda answer: answer[1])
    wrong, newest, ended = [], 0, 0
    for began, end, version in sorted(seen):
        while ended < len(by_end) and by_end[ended][1] < began:
            newest = max(newest, by_end[ended][2])
            ended += 1
        if version < newest:
            wrong.append((began, end, version))
    return wrong


def test_an_answer_by_an_earlier_model_is_found() -> None:
    together = [(0, 10, 1), (2, 8, 2), (3, 20, 1)]  # the last began before the second ended
    assert later_by_an_earlier_model(together) == []
    assert later_by_an_earlier_model([*together, (9, 11, 1)]) == [(9, 11, 1)]


def test_no_request_is_answered_by_the_old_model_after_one_by_the_new(world: World) -> None:
    clients = [
        Client(world.connect(worker), world.body) for worker in world.workers() for _ in range(2)
    ]
    with asking(world, clients):
        for version in range(2, 9):
            world.promote(version)
            world.server.wait_for(
                lambda v=version: all(c.failure or c.seen[-1][2] == v for c in clients)
            )
    assert {client.seen[0][2] for client in clients} == {1}
    assert later_by_an_earlier_model([seen for client in clients for seen in client.seen]) == []


def test_a_champion_that_cannot_be_loaded_answers_nowhere(world: World) -> None:
    (Path(world.promotions.uri) / "2" / "model.onnx").write_bytes(b"spoilt")
    world.server.says = r"El nuevo campeón no se puede cargar: model\.onnx .*\n"
    world.promote(2)
    world.server.wait_for(
        lambda: world.server.counts('endpoint_model_loads_total{result="error"} 1.0')
    )
    for worker in world.workers():
        assert model_of(send(world.connect(worker), world.body)[1]) == 1
    world.promote(3)
    world.server.wait_for(lambda: world.health()["model"] == "popularity@3")


def test_a_worker_that_is_killed_is_replaced_while_the_others_answer(world: World) -> None:
    world.server.says = r"El proceso \d terminó \(código -9\): otro ocupa su lugar\.\n"
    killed, other = world.workers()
    for worker in (killed, other):
        assert send(world.connect(worker), world.body)[0] == 200
    client = Client(world.connect(other), world.body)
    with asking(world, [client]):
        with world.only(other):  # so that nobody is with the one that is killed
            killed.kill()
        world.promote(2)
        # Whoever comes now is answered, by whichever accepts.
        new = set[psutil.Process]()
        asked = 0
        while not new or world.health()["workers"] < 2:
            assert world.server.ask("/predict", world.body)[0] == 200
            asked += 1
            new = set(world.workers()) - {killed, other}
        world.server.wait_for(lambda: client.seen[-1][2] == 2)
    (replacement,) = new
    assert model_of(send(world.connect(replacement), world.body)[1]) == 2
    # What the one that is gone has counted still counts.
    count = 4 + 1 + len(client.seen) + asked + 2  # both at first, the client, whoever came, the new
    world.server.wait_for(lambda: world.server.counts(f"endpoint_instances_total {count}.0"))


def test_what_is_under_way_in_each_worker_is_answered_at_the_end(world: World) -> None:
    workers = world.workers()
    half = len(world.body) // 2
    connections = []
    for worker in workers:
        connection = world.connect(worker)
        connection.putrequest("POST", "/predict")
        for name, value in {**HEADERS, "content-length": str(len(world.body))}.items():
            connection.putheader(name, value)
        connection.endheaders(world.body[:half])
        connections.append(connection)
    world.server.wait_for(lambda: world.server.counts("endpoint_requests_under_way 2.0"))
    world.server.process.terminate()
    world.server.wait_for(world.server.lets_nobody_in)
    for connection in connections:
        connection.send(world.body[half:])
        answer = connection.getresponse()
        assert (answer.status, model_of(answer.read())) == (200, 1)
    assert world.server.process.wait(WAIT) == 0
    assert [worker for worker in workers if not has_ended(worker)] == []


def test_none_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    with contextlib.suppress(AssertionError), serving(tmp_path, workers=3) as world:
        workers = world.workers()
        world.server.process.kill()
        world.server.process.wait()
    assert len(workers) == 3
    assert retry.until(lambda: all(map(has_ended, workers)), bool, WAIT, pause=0.02)
    assert world.server.lets_nobody_in()


@pytest.mark.parametrize(("spoil", "status"), [(False, 3), (True, 6)])
def test_without_a_model_all_end_with_its_status(tmp_path: Path, spoil: bool, status: int) -> None:
    settings = tiny_model.settings().replace(archive=str(tmp_path))
    if spoil:
        promotions = PromotionHistory(settings)
        promotions.keep("1", tiny_model.bundles(tmp_path, 1)[0])
        promotions.promote("1", tiny_model.START)
        (Path(promotions.uri) / "1" / bundle.CARD).write_text("another", encoding="utf-8")
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(settings.model_dump(mode="json")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "spotify_mlops.serving", "--params", file, "--workers", "2"],
        env=prediction_server.variables(ports.free()),
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
    )
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
