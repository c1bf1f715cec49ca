"""A change of model in several processes at once: each loads it, then one word makes it answer.

A model that is to answer gets a number, its generation. Every process loads and checks it, asks it
once, and says so, while the one before goes on answering. When all that accept requests hold it,
the supervisor writes the generation on the `Board`: one store of one word of shared memory, which
is the change. Nothing else says which model answers: a request reads the word once, when its body
is here, and keeps that model to its end; a process that did not hold the model would answer 503,
and never by another.

What holds, for all clients and processes of one server (one port): **once anybody has seen an
answer by a generation, no request that begins later is answered by an earlier one.** The answer was
made after its process had read the word; a request that begins later is read later, and a word of
memory that one processor has seen changed no other sees unchanged after it. A request that was
under way at the change may be answered by either. The order of generations is that of the
supervisor's looks at the promotions: of two promotions between two looks only the latter is seen.
Nothing is promised between servers of their own, such as replicas of Vertex AI.

A process that cannot load a generation keeps it from answering anywhere, until the next promotion.
A process that starts while a model answers loads that one before it accepts its first request, and
then counts in what is under way; one that ends no longer does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from ..config.errors import UserError
from .board import Board
from .metrics import Metrics

_log = logging.getLogger(__name__)


class Load(msgspec.Struct, frozen=True, tag="load"):
    """To a process: load a version (none: the only one) as the model of a generation."""

    generation: int
    version: str | None


class Listen(msgspec.Struct, frozen=True, tag="listen"):
    """To a process: accept requests."""


class Loaded(msgspec.Struct, frozen=True, tag="loaded"):
    """Of a process: it holds the model of a generation, which has answered."""

    generation: int


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """Of a process: it cannot load the model of a generation."""

    generation: int
    message: str
    exit_code: int


Order = Load | Listen
Report = Loaded | Failed


@dataclass
class _Worker:
    send: Callable[[Order], None]
    listens: bool = False
    holds: int = 0
    """The last generation that it loaded."""


class Swap:
    """Decides what each process is told, and when a generation answers. Without I/O of its own."""

    def __init__(self, board: Board, metrics: Metrics) -> None:
        """Begin without a model and without processes; ``metrics`` counts what was loaded."""
        self._board = board
        self._metrics = metrics
        self._workers: dict[int, _Worker] = {}
        self._last = 0
        self._next: Load | None = None
        """The generation that is being loaded everywhere."""
        self._now: Load | None = None
        """The generation that answers."""

    @property
    def has_model(self) -> bool:
        """Tell whether a generation answers."""
        return self._now is not None

    def propose(self, version: str | None) -> None:
        """Have a version answer once all have loaded it; what was being loaded no longer is."""
        self._last += 1
        self._next = Load(self._last, version)
        for worker in self._listening():
            worker.send(self._next)

    def started(self, number: int, send: Callable[[Order], None]) -> None:
        """Count on a process that has started; ``send`` reaches it."""
        self._workers[number] = worker = _Worker(send)
        if self._now is None:
            self._let_in(worker)  # it says that there is no model yet, as the others do
        else:
            worker.send(self._now)

    def loaded(self, number: int, generation: int) -> None:
        """Take notice that a process holds a generation."""
        worker = self._workers[number]
        worker.holds = generation
        if worker.listens:
            self._change()
        elif self._now is not None and generation != self._now.generation:
            worker.send(self._now)  # there was a change meanwhile
        else:
            self._let_in(worker)

    def failed(self, report: Failed) -> None:
        """Take notice that a process cannot load a generation.

        Raises:
            UserError: no model answers yet: there is nothing to go on with.
        """
        if self._now is None:
            error = UserError(report.message)
            error.exit_code = report.exit_code
            raise error
        if self._next is not None and report.generation == self._next.generation:
            self._next = None
            self.refused(report.message)
        elif report.generation == self._now.generation:
            _log.error("Un proceso nuevo no puede cargar el modelo: %s", report.message)

    def refused(self, message: str) -> None:
        """Say, and count, that there is a new champion and that it cannot answer."""
        self._metrics.load_failed()
        _log.error("El nuevo campeón no se puede cargar: %s", message)

    def ended(self, number: int) -> bool:
        """Count no longer on a process; tell whether it accepted requests."""
        worker = self._workers.pop(number)
        self._tell()
        self._change()
        return worker.listens

    def _let_in(self, worker: _Worker) -> None:
        worker.listens = True
        worker.send(Listen())
        self._tell()
        if self._next is not None:
            worker.send(self._next)

    def _change(self) -> None:
        """Let the next generation answer if all that accept requests hold it."""
        listening = self._listening()
        if self._next is None or not listening:
            return
        if all(worker.holds == self._next.generation for worker in listening):
            self._now, self._next = self._next, None
            self._board.generation = self._now.generation
            self._metrics.loaded()

    def _listening(self) -> list[_Worker]:
        return [worker for worker in self._workers.values() if worker.listens]

    def _tell(self) -> None:
        self._board.listening = len(self._listening())
