"""The prediction server as a process: signals, a new champion under load, rude clients."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

import tiny_model
from prediction_server import HEADERS, Server, serving
from spotify_mlops.model import bundle
from spotify_mlops.model.predictor import Predictor
from spotify_mlops.model.promotions import PromotionHistory
from spotify_mlops.serving import limits
from spotify_mlops.serving.__main__ import main


@pytest.fixture(scope="module")
def bundle_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.result().write_bundle(tmp_path_factory.mktemp("bundle") / "1").path


@pytest.fixture(scope="module")
def server(bundle_dir: Path) -> Iterator[Server]:
    with serving(AIP_STORAGE_URI=str(bundle_dir)) as running:
        yield running


@pytest.fixture(scope="module")
def body(bundle_dir: Path) -> bytes:
    instance = dict.fromkeys(Predictor.load(bundle_dir).features, 1.0)
    return json.dumps({"instances": [instance]}).encode()


def half_sent(server: Server, body: bytes) -> http.client.HTTPConnection:
    """Begin a request and wait until the server has begun to receive it."""
    connection = server.connect()
    connection.putrequest("POST", "/predict")
    for name, value in {**HEADERS, "content-length": str(len(body))}.items():
        connection.putheader(name, value)
    connection.endheaders(body[: len(body) // 2])
    server.wait_for(lambda: server.counts("endpoint_requests_under_way 1.0"))
    return connection


def test_a_signal_lets_what_is_under_way_be_answered(bundle_dir: Path, body: bytes) -> None:
    with serving(AIP_STORAGE_URI=str(bundle_dir)) as server:
        connection = half_sent(server, body)
        server.process.send_signal(signal.SIGTERM)
        server.wait_for(server.lets_nobody_in)
        connection.send(body[len(body) // 2 :])
        answer = connection.getresponse()
        assert answer.status == 200
        assert len(json.loads(answer.read())["predictions"]) == 1


def test_a_client_that_hangs_up_disturbs_nothing(server: Server, body: bytes) -> None:
    half_sent(server, body).close()
    server.wait_for(lambda: server.counts('endpoint_requests_total{status="499"} 1.0'))
    assert server.counts("endpoint_requests_under_way 0.0")
    impatient = server.connect()
    impatient.request("POST", "/predict", body, HEADERS)
    impatient.close()
    assert server.ask("/predict", body)[0] == 200


def test_a_hundred_thousand_instances_disturb_nobody(server: Server, body: bytes) -> None:
    lookups = [{"country": "CO", "track_id": "t"}] * 100_000
    instance = json.loads(body)["instances"][0]
    too_many = {
        json.dumps({"instances": lookups}): "Hay 100.000 instancias; el máximo es 10.000.",
        json.dumps(
            {"instances": [instance] * 100_000}
        ): "La petición ocupa 103.000.015 bytes o más; el máximo es 16.777.216.",
    }
    statuses: list[int] = []
    stop = threading.Event()

    def keep_asking() -> None:
        connection = server.connect()
        while not stop.is_set():
            connection.request("POST", "/predict", body, HEADERS)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)

    thread = threading.Thread(target=keep_asking)
    thread.start()
    try:
        for content, says in too_many.items():
            status, answer = server.ask("/predict", content.encode())
            assert status == 413
            assert json.loads(answer)["error"]["message"] == f"{says} Divida la petición."
    finally:
        stop.set()
        thread.join()
    assert set(statuses) == {200}


def test_a_new_champion_takes_over_under_load(
    bundle_dir: Path, tmp_path: Path, body: bytes
) -> None:
    settings = tiny_model.settings().replace(archive=str(tmp_path))
    promotions = PromotionHistory(settings)
    first = bundle.load(bundle_dir)
    card = (bundle_dir / bundle.CARD).read_text(encoding="utf-8")
    note = first.description | {"note": "the same model, as another version"}
    second = bundle.write(tmp_path / "second", first.graph(), card, note)
    promotions.keep("1", bundle_dir)
    promotions.keep("2", second.path)
    promotions.promote("1", tiny_model.START)
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(settings.model_dump(mode="json")), encoding="utf-8")
    answers: list[list[Any]] = [[] for _ in range(4)]
    stop = threading.Event()

    def keep_asking(server: Server, mine: list[Any]) -> None:
        connection = server.connect()
        while not stop.is_set():
            connection.request("POST", "/predict", body, HEADERS)
            answer = connection.getresponse()
            mine.append((answer.status, json.loads(answer.read())["predictions"][0]["model"]))

    with serving("--params", str(file)) as server:
        threads = [threading.Thread(target=keep_asking, args=(server, mine)) for mine in answers]
        for thread in threads:
            thread.start()
        try:
            server.wait_for(lambda: all(answers))
            promotions.promote("2", tiny_model.START + timedelta(hours=1))
            new = (200, "popularity@2")
            server.wait_for(lambda: all(mine[-1] == new for mine in answers))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    for mine in answers:
        assert mine == sorted(mine)  # the first champion's answers, then the second's
        assert {status for status, _ in mine} == {200}


@pytest.mark.parametrize("given", ["0", "-1", str(4 * (os.cpu_count() or 1) + 1)])
def test_a_number_of_workers_that_makes_no_sense_is_refused(
    given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--workers", given]) == 2
    most = 4 * (os.cpu_count() or 1)
    assert capsys.readouterr().err == (
        f"«--workers {given}»: debe ser de 1 a {most}, 4 por núcleo de esta máquina.\n"
    )


def test_serving_needs_no_library_of_training() -> None:
    check = (
        "import sys, spotify_mlops.serving.__main__, spotify_mlops.serving.worker\n"
        "print(*sys.modules.keys() & {'sklearn', 'scipy', 'onnx', 'pandas', 'apache_beam'})"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def memory(process: subprocess.Popen[str], name: str) -> int:
    """Return a figure of the process's memory in bytes: ``VmRSS``, or ``VmHWM``, its peak."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(found.split()[1]) * 1024


def filled(start: str, unit: str, end: str) -> bytes:
    """Return as many units between two ends as a body may have."""
    room = limits.MAX_BODY - len((start + end).encode())
    return (start + unit * (room // len(unit.encode())) + end).encode()


def worst_bodies() -> Iterator[bytes]:
    """Make bodies that a careless reader would spend its memory on."""
    yield filled('{"instances": [1', ",1", "]}")
    yield b'{"instances": [1' + b",1" * 200_000 + b"]}"
    yield filled('{"instances": [[]', ",[]", "]}")
    yield filled('{"instances": [' + "[" * 900, ",1", "]" * 900 + "]}")
    yield filled('{"instances": ', "[", "]}")
    yield filled('{"instances": ', '{"a":', "]}")
    yield filled('{"instances": [{}', ",{}", "]}")
    yield filled('{"instances": [{"a":1', ',"a":1', "}]}")
    yield filled('{"instances": [{}], "a":1', ',"a":1', "}")
    yield filled('{"instances": [1', ",1", '], "instances": []}')
    yield filled('{"instances": [{"momentum": 1', "9", "}]}")
    yield filled('{"instances": [{"country": "CO", "track_id": "\U0001f600', "a", '"}]}')
    many = ',{"country": "CO", "track_id": "\U0001f600' + "a" * 65_000 + '"}'
    yield filled('{"instances": [{"country": "CO", "track_id": "t"}', many, "]}")
    yield filled('{"instances": [NaN', "NaN", "]}")
    yield filled('{"instances": [', " ", "]}")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="nobody tells the memory")
def test_no_body_takes_much_memory(bundle_dir: Path) -> None:
    with serving(AIP_STORAGE_URI=str(bundle_dir)) as server:
        idle = memory(server.process, "VmRSS")
        for body in worst_bodies():
            status, answer = server.ask("/predict", body)
            assert status in (400, 413, 503), answer  # no MongoDB is there to look for tracks
            assert memory(server.process, "VmHWM") - idle < 200 << 20, body[:50]
