"""What the server counts, in the text that Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5)  # fmt: skip


class Metrics:
    """The counters of one server."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "endpoint_requests", "Peticiones de predicción por estado HTTP.", ["status"],
            registry=registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "endpoint_request_seconds", "Segundos por petición de predicción.",
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._instances = Counter(
            "endpoint_instances", "Instancias con predicción.", registry=registry
        )
        self._under_way = Gauge(
            "endpoint_requests_under_way", "Peticiones en espera.", registry=registry
        )
        self._model = Gauge(
            "endpoint_model", "1 para el modelo que responde.", ["model"], registry=registry
        )
        self._loads = Counter(
            "endpoint_model_loads", "Modelos cargados, o que no se pudo.", ["result"],
            registry=registry,
        )  # fmt: skip
        ProcessCollector(registry=registry)
        # The one that is counted a thousand times a second is looked up once.
        self._ok = self._requests.labels("200")

    def answered(self, instances: int, seconds: float) -> None:
        """Count a request that got its predictions."""
        self._ok.inc()
        self._instances.inc(instances)
        self._seconds.observe(seconds)

    def refused(self, status: int, seconds: float) -> None:
        """Count a request that got an error, or whose client went away (499)."""
        self._requests.labels(str(status)).inc()
        self._seconds.observe(seconds)

    def loaded(self, model: str) -> None:
        """Count a model that answers from now on."""
        self._loads.labels("ok").inc()
        self._model.clear()
        self._model.labels(model).set(1)

    def load_failed(self) -> None:
        """Count a model that could not be loaded."""
        self._loads.labels("error").inc()

    def watch_under_way(self, count: Callable[[], float]) -> None:
        """Ask ``count``, at each reading, for the requests that wait."""
        self._under_way.set_function(count)

    def text(self) -> bytes:
        """Return everything as Prometheus reads it."""
        return generate_latest(self._registry)
