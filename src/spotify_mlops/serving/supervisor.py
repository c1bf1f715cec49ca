"""Several processes behind one port: started, watched over, replaced, ended (see `swap`).

They accept from the same listening socket, which they inherit: a connection that waits there is
taken by whichever is free, and is not lost with one that dies. With a socket each
(``SO_REUSEPORT``) the system would deal connections out evenly, and give a dead one its share.
What a process does they do not share (limits, connections, questions to MongoDB); what they do
share is on the `Board`.

They die with the supervisor, also when it is killed. It does no work of its own: it loads no model,
and opens none.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from types import FrameType

import msgspec

from ..config import carried, secrets
from ..config.errors import ServiceError, UserError
from ..config.params import Params
from ..io import logs
from ..io.http.guard import VARIABLE
from ..io.local import environment, tied
from ..io.local.stopping import handling
from ..model.promotions import PromotionHistory
from .board import Board
from .metrics import Metrics
from .models import LOOK_SECONDS, ChampionWatch
from .server import STOP_SECONDS
from .swap import Failed, Load, Loaded, Order, Report, Swap

_log = logging.getLogger(__name__)

LOAD_SECONDS = 120.0
"""In which a process must have loaded a model: one that hangs would keep the others from it."""
_KILL_SECONDS = STOP_SECONDS + 10.0
"""In which a process must have ended after it was told to."""
_PAUSE = 1.0
"""Before a process is started in the place of one that never got as far as to answer."""
_POLL = 3600.0
_encode = msgspec.json.Encoder().encode
_report = msgspec.json.Decoder(Report).decode


class _Process:
    """A worker's process and the supervisor's end of the channel to it."""

    def __init__(self, process: subprocess.Popen[bytes], channel: Connection) -> None:
        self.process = process
        self.channel = channel
        self.asked = 0
        """The last generation that it was told to load."""
        self.due: float | None = None
        """When it must have loaded that one."""

    def send(self, order: Order) -> None:
        if isinstance(order, Load):
            self.asked, self.due = order.generation, time.monotonic() + LOAD_SECONDS
        with contextlib.suppress(OSError):  # its end comes as an end of the channel
            self.channel.send_bytes(_encode(order))

    def receive(self) -> Report | None:
        """Return what it says; None at its end."""
        try:
            report = _report(self.channel.recv_bytes())
        except (EOFError, OSError):
            return None
        if report.generation == self.asked:
            self.due = None
        return report

    def end(self) -> int:
        """Wait until it has ended, by now or by force; return its status."""
        self.channel.close()
        self.process.kill()
        return self.process.wait()


class Supervisor:
    """Keeps so many workers at a port."""

    def __init__(self, params: Params, host: str, listener: socket.socket, workers: int) -> None:
        """Describe them; ``listener`` is bound to the port."""
        self._params = params
        self._host = host
        self._listener = listener
        self._board = Board.shared(1 + workers)  # the first row is the supervisor's own
        self._metrics = Metrics(self._board, 0)
        self._swap = Swap(self._board, self._metrics)
        self._running: dict[int, _Process] = {}
        self._due = dict.fromkeys(range(1, 1 + workers), time.monotonic())
        """When a worker that does not run is to be started, by its number."""
        self._promoted: queue.SimpleQueue[str | Exception] = queue.SimpleQueue()
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        self._stopping = False

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT comes and what is under way has been answered.

        Raises:
            InputError, IntegrityError: there is no champion.
            UserError: the model cannot be loaded.
            ServiceError: a worker ended before there was a model.
        """
        ended = threading.Event()
        with handling(self._told_to_stop):
            try:
                if os.environ.get("AIP_STORAGE_URI"):
                    self._swap.propose(None)
                else:
                    watch = ChampionWatch(PromotionHistory(self._params))
                    self._swap.propose(watch.version)
                    looking = (watch, ended)
                    threading.Thread(target=self._look, args=looking, daemon=True).start()
                while not self._stopping:
                    self._step()
            finally:
                ended.set()
                self._stop()

    def _told_to_stop(self, number: int, _: FrameType | None) -> None:
        """Stop at the first signal, and pass on those that come after it."""
        if self._stopping:
            for worker in self._running.values():
                worker.process.send_signal(number)
        self._stopping = True
        self._rouse()

    def _rouse(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake.send(b"!")

    def _look(self, watch: ChampionWatch, ended: threading.Event) -> None:
        """Look for promotions from a thread: in a bucket that takes its time."""
        while not ended.wait(LOOK_SECONDS):
            try:
                if not watch.look():
                    continue
                found: str | Exception = watch.version
            except Exception as error:
                found = error
            self._promoted.put(found)
            self._rouse()

    def _step(self) -> None:
        """Wait until there is something to do, and do it."""
        now = time.monotonic()
        for number in [number for number, due in self._due.items() if due <= now]:
            self._start(number)
        for worker in self._running.values():
            if worker.due is not None and worker.due <= now:
                worker.due = None
                worker.process.kill()  # another takes its place
        times = [*self._due.values(), *(w.due for w in self._running.values() if w.due is not None)]
        channels = {worker.channel: number for number, worker in self._running.items()}
        patience = max(0.0, min(times, default=now + _POLL) - now)
        for ready in wait([self._woken, *channels], patience):
            if isinstance(ready, Connection):
                self._hear(channels[ready])
            else:
                self._woken.recv(4096)
        while not self._promoted.empty():
            self._propose(self._promoted.get())

    def _propose(self, found: str | Exception) -> None:
        if isinstance(found, str):
            self._swap.propose(found)
        else:
            self._swap.refused(str(found))
            if not isinstance(found, UserError):
                _log.error("Una mirada a las promociones falló.", exc_info=found)

    def _hear(self, number: int) -> None:
        report = self._running[number].receive()
        if isinstance(report, Loaded):
            self._swap.loaded(number, report.generation)
        elif isinstance(report, Failed):
            self._swap.failed(report)
        else:
            self._replace(number)

    def _replace(self, number: int) -> None:
        """Have another process take the place of one that is no more.

        Raises:
            ServiceError: there has been no model yet, so that it would come to the same.
        """
        status = self._running.pop(number).end()
        answered = self._swap.ended(number)
        self._metrics.ended(number)
        if not self._swap.has_model:
            raise ServiceError(f"El proceso {number} terminó al arrancar (código {status}).")
        _log.error("El proceso %d terminó (código %d): otro ocupa su lugar.", number, status)
        self._due[number] = time.monotonic() + (0.0 if answered else _PAUSE)

    def _start(self, number: int) -> None:
        del self._due[number]
        ours, theirs = Pipe()
        given = [self._listener.fileno(), self._board.descriptor, theirs.fileno()]
        with theirs:
            process = subprocess.Popen(
                [
                    *(*tied.words(), sys.executable, "-m", "spotify_mlops.serving.worker"),
                    *("--host", self._host, "--number", str(number)),
                    *("--descriptors", *(str(descriptor) for descriptor in given)),
                    *carried.arguments(self._params),
                ],
                pass_fds=[descriptor for descriptor in given if descriptor is not None],
                stdin=subprocess.DEVNULL,
                env=_environment(self._params),
            )
        self._running[number] = worker = _Process(process, ours)
        self._swap.started(number, worker.send)

    def _stop(self) -> None:
        """End the workers once what is under way has been answered."""
        self._listener.close()  # or the system would go on accepting for nobody
        for worker in self._running.values():
            worker.process.terminate()
        deadline = time.monotonic() + _KILL_SECONDS
        for worker in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            worker.end()


def _environment(params: Params) -> dict[str, str]:
    """Return a worker's environment: what the platform said, the server's key, its secrets."""
    own = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("AIP_") or name in (VARIABLE, logs.LOG)
    }
    return (
        environment.inherited()
        | environment.outbound()
        | secrets.variables(params, "mongo_uri")
        | own
    )
