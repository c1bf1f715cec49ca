"""A worker and its supervisor, each without the other."""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

import tiny_model
from spotify_mlops.config.errors import IntegrityError, ServiceError
from spotify_mlops.io.local import tied
from spotify_mlops.io.local.stopping import handling
from spotify_mlops.io.patches import interpreter
from spotify_mlops.serving import server, supervisor, worker
from spotify_mlops.serving.board import Board
from spotify_mlops.serving.models import Generations

WAIT = 30.0
HANGING = "import signal; signal.pause()"


@pytest.fixture
def channel() -> Iterator[tuple[Connection, Connection]]:
    ours, theirs = Pipe()
    with ours, theirs:
        yield ours, theirs


def obeying(channel: Connection, load: Any) -> tuple[threading.Thread, Any, threading.Event]:
    """Let a worker do what comes by a channel; return it, its server and whether it listens."""
    server: Any = SimpleNamespace(should_exit=False)
    listen = threading.Event()
    given = (channel, Generations(Board.alone(), load), server, listen)
    thread = threading.Thread(target=worker._obey, args=given)
    thread.start()
    return thread, server, listen


def test_a_worker_ends_with_its_supervisor(channel: tuple[Connection, Connection]) -> None:
    ours, theirs = channel
    thread, server, listen = obeying(theirs, lambda version: version)
    ours.send_bytes(json.dumps({"type": "load", "generation": 1, "version": "7"}).encode())
    assert json.loads(ours.recv_bytes()) == {"type": "loaded", "generation": 1}
    ours.send_bytes(b'{"type": "listen"}')
    assert listen.wait(WAIT)
    assert not server.should_exit
    ours.close()
    thread.join(WAIT)
    assert server.should_exit


@pytest.mark.parametrize("listens", [False, True])
def test_a_worker_that_cannot_load_goes_on_if_it_has_a_model_to_go_on_with(
    channel: tuple[Connection, Connection], listens: bool
) -> None:
    def load(version: str | None) -> None:
        raise IntegrityError("no es la que se guardó")

    ours, theirs = channel
    thread, server, listen = obeying(theirs, load)
    if listens:
        ours.send_bytes(b'{"type": "listen"}')
        assert listen.wait(WAIT)
    ours.send_bytes(json.dumps({"type": "load", "generation": 2, "version": "7"}).encode())
    assert json.loads(ours.recv_bytes()) == {
        "type": "failed", "generation": 2, "message": "no es la que se guardó", "exit_code": 6,
    }  # fmt: skip
    if listens:
        ours.send_bytes(json.dumps({"type": "load", "generation": 3, "version": "8"}).encode())
        assert json.loads(ours.recv_bytes())["generation"] == 3
        assert not server.should_exit
        ours.close()
    thread.join(WAIT)
    assert server.should_exit
    assert listen.is_set()  # who waits for it ends


def test_a_worker_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tied, "words", lambda: [sys.executable, "-c", HANGING])
    monkeypatch.setattr(supervisor, "LOAD_SECONDS", 0.0)
    monkeypatch.setenv("AIP_STORAGE_URI", "/nowhere")
    before = set(psutil.Process().children())
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        watching = supervisor.Supervisor(tiny_model.settings(), "127.0.0.1", listener, 2)
        with pytest.raises(ServiceError, match=r"terminó al arrancar \(código -9\)"):
            watching.run()
    assert set(psutil.Process().children()) <= before


def test_a_signal_that_comes_before_the_server_is_ready_for_it_ends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Starting:
        should_exit = False

        def run(self, sockets: list[socket.socket]) -> None:
            signal.raise_signal(signal.SIGTERM)
            assert self.should_exit

    monkeypatch.setattr(interpreter, "take_turns", lambda seconds: None)
    starting: Any = Starting()
    with socket.socket() as listener, handling(signal.default_int_handler):  # put back at the end
        server.run(starting, listener)
    assert starting.should_exit


def test_a_worker_gets_what_the_server_needs_and_no_other_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIP_STORAGE_URI", "gs://models/1")
    monkeypatch.setenv("SPOTIFY_MLOPS_KEY", "k")
    monkeypatch.setenv("MY_MONGO", "mongodb://user:word@host")
    monkeypatch.setenv("KAFKA_PASSWORD", "of the log")
    got = supervisor._environment(tiny_model.settings().replace(mongo_uri="env:MY_MONGO"))
    assert got["AIP_STORAGE_URI"] == "gs://models/1"
    assert got["SPOTIFY_MLOPS_KEY"] == "k"
    assert got["MY_MONGO"] == "mongodb://user:word@host"
    assert "KAFKA_PASSWORD" not in got
