"""What the server counts, in the text that Prometheus reads.

Each process counts in its own row of the `Board`, and whichever is asked answers for all: the
counts are sums. A process that takes the place of one that died goes on with its row, so nothing
that was counted is lost.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from .board import ROW_CELLS, Board

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
STATUSES = (200, 400, 404, 405, 408, 409, 413, 429, 499, 500, 503)
"""Of answers to a prediction; 499 is a client that went away."""
_SECONDS = (.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5)  # fmt: skip
# The cells of a row: requests by status, then by duration (the last, longer than all), then these.
_STATUS = {status: cell for cell, status in enumerate(STATUSES)}
_OK = _STATUS[200]
_DURATIONS = len(STATUSES)
_SUM, _INSTANCES, _UNDER_WAY, _LOADED, _FAILED, _PID = range(
    _DURATIONS + len(_SECONDS) + 1, _DURATIONS + len(_SECONDS) + 7
)
assert _PID < ROW_CELLS


class Metrics(Collector):
    """The counters of one process of a server, and what all of them have counted."""

    def __init__(self, board: Board | None = None, row: int = 0) -> None:
        """Go on with the counts in a row of the board; of a board of its own, begin at zero."""
        self._board = board or Board.alone()
        self._row = self._board.rows[row]
        self._row[_UNDER_WAY] = 0
        self._row[_PID] = os.getpid()
        self._model: Callable[[], str | None] = lambda: None
        self._processes = [_process(row) for row in self._board.rows]

    @property
    def listening(self) -> int:
        """How many processes accept requests; 0 when there is but one."""
        return self._board.listening

    def answered(self, instances: int, seconds: float) -> None:
        """Count a request that got its predictions."""
        self._row[_OK] += 1
        self._row[_INSTANCES] += instances
        self._took(seconds)

    def refused(self, status: int, seconds: float) -> None:
        """Count a request that got an error, or whose client went away (499)."""
        self._row[_STATUS[status]] += 1
        self._took(seconds)

    def loaded(self) -> None:
        """Count a model that answers from now on."""
        self._row[_LOADED] += 1

    def load_failed(self) -> None:
        """Count a model that could not be loaded."""
        self._row[_FAILED] += 1

    def wait(self, requests: int) -> None:
        """Say how many requests of this process wait."""
        self._row[_UNDER_WAY] = requests

    def ended(self, row: int) -> None:
        """Say that the process of a row is no more: nothing waits there."""
        self._board.rows[row][_UNDER_WAY] = self._board.rows[row][_PID] = 0

    def watch_model(self, name: Callable[[], str | None]) -> None:
        """Ask ``name``, at each reading, for the model that answers."""
        self._model = name

    def text(self) -> bytes:
        """Return everything as Prometheus reads it."""
        return generate_latest(self)

    def collect(self) -> Iterable[Metric]:
        """Give the metrics of all processes."""
        sums = [sum(cells) for cells in zip(*self._board.rows, strict=True)]
        requests = CounterMetricFamily(
            "endpoint_requests", "Peticiones de predicción por estado HTTP.", labels=["status"]
        )
        for status, cell in _STATUS.items():
            if sums[cell] or cell == _OK:
                requests.add_metric([str(status)], sums[cell])
        yield requests
        buckets, total = [], 0.0
        for bound, n in zip((*_SECONDS, float("inf")), sums[_DURATIONS:], strict=False):
            total += n
            buckets.append((floatToGoString(bound), total))
        yield HistogramMetricFamily(
            "endpoint_request_seconds", "Segundos por petición de predicción.",
            buckets=buckets, sum_value=sums[_SUM],
        )  # fmt: skip
        yield CounterMetricFamily(
            "endpoint_instances", "Instancias con predicción.", sums[_INSTANCES]
        )
        yield GaugeMetricFamily(
            "endpoint_requests_under_way", "Peticiones en espera.", sums[_UNDER_WAY]
        )
        model = GaugeMetricFamily(
            "endpoint_model", "1 para el modelo que responde.", labels=["model"]
        )
        if (name := self._model()) is not None:
            model.add_metric([name], 1)
        yield model
        loads = CounterMetricFamily(
            "endpoint_model_loads", "Modelos cargados, o que no se pudo.", labels=["result"]
        )
        loads.add_metric(["ok"], sums[_LOADED])
        loads.add_metric(["error"], sums[_FAILED])
        yield loads
        if len(self._processes) > 1:
            yield GaugeMetricFamily(
                "endpoint_workers", "Procesos que aceptan peticiones.", self._board.listening
            )
        yield from self._of_processes()

    def _of_processes(self) -> Iterator[Metric]:
        """Give what the system says of each process, told apart where there are several."""
        families: dict[str, Metric] = {}
        for number, process in enumerate(self._processes):
            own = {"worker": str(number)} if len(self._processes) > 1 else {}
            for found in process.collect():
                family = families.setdefault(
                    found.name, Metric(found.name, found.documentation, found.type)
                )
                for sample in found.samples:
                    family.add_sample(sample.name, {**sample.labels, **own}, sample.value)
        yield from families.values()

    def _took(self, seconds: float) -> None:
        self._row[_DURATIONS + bisect_left(_SECONDS, seconds)] += 1
        self._row[_SUM] += seconds


def _process(row: memoryview[float]) -> ProcessCollector:
    """Return what reads the figures of the process whose number is in a row, if it has one."""
    return ProcessCollector(pid=lambda: int(row[_PID]), registry=None)
