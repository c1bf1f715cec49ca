"""The Vertex AI stand-in of a test: its own port and state, killed and started at will."""

from __future__ import annotations

import os
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from local_services import vertex
from spotify_mlops.config import params
from spotify_mlops.config.params import Params
from spotify_mlops.config.progress import silent
from spotify_mlops.io.http import guard, ports
from spotify_mlops.io.local import processes, secret, state


class VertexServer:
    """One stand-in whose state is in the folder that ``SPOTIFY_MLOPS_STATE`` names."""

    def __init__(self, folder: Path) -> None:
        """Start it."""
        self.folder = folder
        self._ports = ports.choose(vertex.PORTS, {})
        self.url = vertex.addresses(self._ports)["url"]
        self.params: Params = params.load("local")
        self.start()

    def request(self, path: str, body: bytes | None = None) -> urllib.request.Request:
        """Return a request of what no client of Google's sends, with the key."""
        headers = {
            "Authorization": guard.authorization(secret.key("vertex")),
            "Content-Type": "application/json",
        }
        return urllib.request.Request(self.url + path, body, headers)

    def start(self) -> None:
        """Start it again on the same port and state."""
        argv, env = vertex.command(self._ports, silent)
        self.record = processes.start(
            "vertex",
            argv,
            env=env,
            ready=lambda: vertex.is_ready(self._ports),
            kind="service",
            ports=self._ports,
            addresses=vertex.addresses(self._ports),
        )

    @property
    def process(self) -> psutil.Process:
        """Return its process."""
        return psutil.Process(self.record.pid)

    def deployed_ports(self) -> set[int]:
        """Return where the processes of deployed models listen."""
        return {
            connection.laddr.port
            for child in self.process.children(recursive=True)
            for connection in child.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }

    def kill(self) -> None:
        """End it as the out-of-memory killer would."""
        process = self.process
        os.kill(process.pid, signal.SIGKILL)
        process.wait(60)

    def stop(self) -> None:
        """End it in order."""
        processes.stop(self.record)


@contextmanager
def running(folder: Path) -> Iterator[VertexServer]:
    """Run a stand-in with its state in ``folder``; nothing of it stays."""
    before = os.environ.get("SPOTIFY_MLOPS_STATE")
    os.environ["SPOTIFY_MLOPS_STATE"] = str(folder)
    try:
        yield VertexServer(folder)
    finally:
        for record in state.read().values():
            processes.stop(record)
        processes.sweep()
        if before is None:
            del os.environ["SPOTIFY_MLOPS_STATE"]
        else:
            os.environ["SPOTIFY_MLOPS_STATE"] = before
