"""A load generator: HTTP/1.1 over kept connections, one thread, one small loop around select.

Run as a process of its own, so that neither the server nor what measures shares an interpreter
with it. ``select`` takes its timeout in microseconds, where asyncio's loops round it up to
milliseconds: a request is sent when it was meant to be.

    python load.py URL BODIES --seconds 10 --connections 16 [--rate 2000]

``BODIES`` is a file with one body a line; they are sent in turn, again and again. Without
``--rate`` each connection asks again as soon as it is answered (closed loop); with it, requests
are due at even intervals whatever the server does (open loop), and a latency counts from
the time when its request was due. The key in ``SPOTIFY_MLOPS_KEY``, if any, is sent with each.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import re
import select
import socket
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

_MODEL = re.compile(rb'"model":"([^"]+)"')
_DRAIN_SECONDS = 10.0
"""For the answers that are missing when the time is over."""


@dataclass
class Connection:
    """A kept connection with at most one request under way."""

    socket: socket.socket
    due: float = 0.0
    received: bytes = b""

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was meant to leave at ``due``."""
        self.due = due
        self.received = b""
        sent = 0
        while sent < len(request):
            try:
                sent += self.socket.send(request[sent:])
            except BlockingIOError:
                select.select([], [self.socket], [])

    def receive(self) -> bytes | None:
        """Return the answer once it is whole.

        Raises:
            ConnectionError: the server has closed the connection.
        """
        part = self.socket.recv(1 << 20)
        if not part:
            raise ConnectionError
        self.received += part
        head = self.received.find(b"\r\n\r\n")
        if head < 0:
            return None
        at = self.received.find(b"content-length: ")
        length = int(self.received[at + 16 : self.received.index(b"\r", at)])
        return self.received if len(self.received) >= head + 4 + length else None


@dataclass
class Load:
    """Sends requests in turn, again and again, and keeps what came of them."""

    url: str
    bodies: list[bytes]
    connections: int
    key: str | None = None
    """What the server asks of its clients."""
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    """Which model answered how often, where the answer says it."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        assert parts.hostname and parts.port
        self._address = (parts.hostname, parts.port)
        head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\n"
        if self.key:
            head += f"authorization: Bearer {self.key}\r\n"
        head += "content-type: application/json\r\ncontent-length: "
        self._requests = itertools.cycle(
            [f"{head}{len(body)}\r\n\r\n".encode() + body for body in self.bodies]
        )

    def _connect(self) -> Connection:
        opened = socket.create_connection(self._address)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.setblocking(False)
        return Connection(opened)

    def run(self, seconds: float, rate: float | None) -> float:
        """Ask for some time; return the seconds until the last answer."""
        # In turn: one that stays aside for seconds is closed by the server, as any client's.
        idle = deque(self._connect() for _ in range(self.connections))
        busy: dict[int, Connection] = {}
        began = time.perf_counter()
        end = began + seconds
        waiting: deque[float] = deque()
        """Due times of requests that found no idle connection."""
        sent = 0
        while True:
            now = time.perf_counter()
            if rate is None:
                if now < end:
                    waiting.extend([now] * (len(idle) - len(waiting)))
                timeout = 1.0
            else:
                while (due := began + sent / rate) <= min(now, end):
                    waiting.append(due)
                    sent += 1
                timeout = max(0.0, min(due, end) - now) if now < end else 1.0
            while waiting and idle:
                connection = idle.popleft()
                connection.send(next(self._requests), waiting.popleft())
                busy[connection.socket.fileno()] = connection
            if now >= end and (not (busy or waiting) or now >= end + _DRAIN_SECONDS):
                break
            for number in select.select(list(busy), [], [], timeout)[0]:
                idle += self._read(busy, number)
        self.statuses["none"] += len(busy) + len(waiting)
        for connection in (*idle, *busy.values()):
            connection.socket.close()
        return time.perf_counter() - began

    def _read(self, busy: dict[int, Connection], number: int) -> list[Connection]:
        """Take what a connection has received; return it if it is idle again."""
        connection = busy[number]
        try:
            answer = connection.receive()
        except ConnectionError:
            del busy[number]
            connection.socket.close()
            self.statuses["closed"] += 1
            return [self._connect()]
        if answer is None:
            return []
        del busy[number]
        self.latencies.append(time.perf_counter() - connection.due)
        self.statuses[answer[9:12].decode()] += 1
        if found := _MODEL.search(answer):
            self.models[found[1].decode()] += 1
        return [connection]


def summary(load: Load, seconds: float) -> dict[str, object]:
    """Return what a run gave; latencies in seconds."""
    ordered = sorted(load.latencies)
    at = {f"p{q}": ordered[min(len(ordered) - 1, len(ordered) * q // 100)] for q in (50, 99)}
    failed = sum(n for status, n in load.statuses.items() if status != "200")
    return at | {
        "answers": len(ordered),
        "rate": len(ordered) / seconds,
        "failed": failed,
        "statuses": dict(load.statuses),
        "models": dict(load.models),
    }


def main() -> None:
    """Run a load and print its summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("bodies", type=Path)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--rate", type=float)
    given = parser.parse_args()
    bodies = given.bodies.read_bytes().splitlines()
    load = Load(given.url, bodies, given.connections, os.environ.get("SPOTIFY_MLOPS_KEY"))
    with contextlib.suppress(KeyboardInterrupt):
        print(json.dumps(summary(load, load.run(given.seconds, given.rate))))


if __name__ == "__main__":
    main()
