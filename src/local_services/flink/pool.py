"""The pool of Python workers: ``python -m local_services.flink.pool PORT``.

A TaskManager asks it for workers, and each is a process of its own, with its own log: forked from
one that has loaded what takes long and done nothing else (`multiprocessing`'s fork server). Beam's
pool knows a worker by its id alone, and each TaskManager counts its workers from 1.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import grpc
import psutil
from apache_beam.portability.api import beam_fn_api_pb2

from spotify_mlops.io import logs
from spotify_mlops.io.workers import OwnersWorkers, caller

from . import worker as one

_LOADED = (
    one.__name__,
    *("confluent_kafka", "google.cloud.bigquery", "google.cloud.bigquery_storage", "pymongo"),
)
"""What workers of this project's jobs need at once; not polars, whose threads end in a fork."""
_TO_END = 10.0
"""Seconds that a worker has to end when it is told to."""
_TURN = 1.0
"""Seconds between two looks at who has ended."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Worker:
    id: str
    slot: int
    """The number of its log: the first that no other had."""
    task_manager: psutil.Process | None
    process: ForkServerProcess

    def is_abandoned(self) -> bool:
        return self.task_manager is not None and not self.task_manager.is_running()


class Workers(OwnersWorkers):
    """A pool whose workers are processes."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self._log = log
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []
        self._context = _fork_server()

    def StartWorker(  # noqa: N802 -- the service's own name
        self, request: beam_fn_api_pb2.StartWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        """Start a worker process that takes its work from the address in the request."""
        self._check(context)
        with self._lock:
            used = {worker.slot for worker in self._workers}
            slot = next(number for number in range(1, len(used) + 2) if number not in used)
            try:
                process = self._start(request, slot)
            except OSError as error:
                return beam_fn_api_pb2.StartWorkerResponse(error=str(error))
            worker = _Worker(request.worker_id, slot, _process(context), process)
            self._workers.append(worker)
        _log.warning("Trabajador %d: proceso %d", slot, process.pid)
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(  # noqa: N802
        self, request: beam_fn_api_pb2.StopWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StopWorkerResponse:
        """End the workers of that id of the TaskManager that asks."""
        self._check(context)
        who = _process(context)
        for worker in self._taken(
            lambda w: w.id == request.worker_id and w.task_manager in (who, None)
        ):
            _end(worker.process)
        return beam_fn_api_pb2.StopWorkerResponse()

    def tidy(self) -> None:
        """End the workers whose TaskManager has ended, and forget those that have ended."""
        for worker in self._taken(lambda w: w.process.exitcode is not None or w.is_abandoned()):
            status = worker.process.exitcode
            if status is None:
                _end(worker.process)
                _log.warning("Trabajador %d: su TaskManager ya no está", worker.slot)
            else:
                _log.warning("Trabajador %d: terminó (código %d)", worker.slot, status)

    def _taken(self, is_meant: Callable[[_Worker], bool]) -> list[_Worker]:
        with self._lock:
            taken = [worker for worker in self._workers if is_meant(worker)]
            self._workers = [worker for worker in self._workers if worker not in taken]
        return taken

    def _start(self, request: beam_fn_api_pb2.StartWorkerRequest, slot: int) -> ForkServerProcess:
        log = self._log.with_name(f"flink-worker-{slot}.log")
        logs.put_aside_when_full(log)
        what = (request.control_endpoint.url, request.worker_id, log)
        process = self._context.Process(target=one.main, args=what)
        process.start()
        return process


def _fork_server() -> ForkServerContext:
    """Start it, so that it is ready when the first worker is asked for."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_LOADED])
    forkserver.ensure_running()
    return context


def _end(process: ForkServerProcess) -> None:
    process.terminate()
    process.join(_TO_END)
    if process.exitcode is None:
        process.kill()
        process.join()


def _process(context: grpc.ServicerContext) -> psutil.Process | None:
    """Return the process at the other end of a call; None when the system does not say."""
    host, port = caller(context)
    ends = {(host, port), (f"::ffff:{host}", port)}
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.pid and tuple(connection.laddr) in ends:
                return psutil.Process(connection.pid)
    except psutil.Error:
        pass
    return None


def main(port: int) -> None:
    """Serve until the process is ended."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logs.keep_small()
    workers = Workers(Path(os.environ[logs.LOG]))
    _log.warning("Se piden trabajadores en %s", workers.serve(port))
    turn = threading.Event()
    while not turn.wait(_TURN):
        workers.tidy()


if __name__ == "__main__":
    main(int(sys.argv[1]))
