"""How many machines, and of which, hold a rate of events: the cheapest that do."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ...config.params import Params
from . import figures as f
from .prices import HOURS, each

CANDIDATES = (
    *("n2-standard-2", "n2-standard-4", "n2-standard-8", "n2-standard-16"),
    *("n2-highcpu-4", "n2-highcpu-8", "n2-highcpu-16"),
)
"""Machines of which the cheapest is looked for: of one kind, since the figures are of a vCPU."""
MOST_WORKERS, MOST_KAFKA_VCPUS = 1000, 480
"""What the parameters take, which is what the services do."""
_MACHINE = re.compile(r"(?P<family>[a-z]\w*)-(?P<kind>standard|highmem|highcpu)-(?P<vcpus>\d+)")
_GIB_A_VCPU = {"standard": 4.0, "highmem": 8.0, "highcpu": 1.0}
_GIB_A_VCPU_OF_N1 = {"standard": 3.75, "highmem": 6.5, "highcpu": 0.9}


@dataclass(frozen=True)
class Machine:
    """A kind of machine of Compute Engine."""

    name: str
    vcpus: int
    memory_gib: float

    @property
    def hour(self) -> float:
        """Return the USD that Dataflow asks for an hour of a streaming worker on it."""
        return (
            self.vcpus * each("dataflow_vcpu")
            + self.memory_gib * each("dataflow_memory")
            + f.DATAFLOW_DISK_GIB * each("dataflow_disk")
        )


@dataclass(frozen=True)
class Load:
    """What there is to do at a rate."""

    rate: float
    """Events a second."""
    rows_a_window: float
    rows: float
    """A second."""
    written: float
    """Bytes a second into Kafka."""


@dataclass(frozen=True)
class Shape:
    """What holds a load."""

    machine: str
    workers: int
    vcpus: int
    """Of all workers: at least so many sources, partitions and shards keep them all busy."""
    kafka_vcpus: int
    kafka_memory_gib: int
    month: float
    """USD of workers and brokers, without what depends on the events alone."""


def machine(name: str) -> Machine | None:
    """Return a machine by its name; None for a name that does not say what it has."""
    match = _MACHINE.fullmatch(name)
    if match is None:
        return None
    vcpus = int(match["vcpus"])
    sizes = _GIB_A_VCPU_OF_N1 if match["family"] == "n1" else _GIB_A_VCPU
    return Machine(name, vcpus, vcpus * sizes[match["kind"]])


def load(params: Params, rate: float) -> Load:
    """Return what there is to do at so many events a second.

    A window has a row for each track of each country, or for each event where those are fewer.
    """
    window = params.windows.window.total_seconds()
    tracks = params.simulator.tracks * len(params.sources.countries)
    rows = min(rate * window, float(tracks))
    return Load(rate, rows, rows / window, rate * f.RECORD_BYTES)


def vcpus_needed(work: Load, freshness: float) -> float:
    """Return how many vCPUs a load takes; infinite where no number of them is enough.

    They are to keep up with the events while no busier than planned, and to work off the rows of
    a window, with what that leaves, within the freshness asked.

    Args:
        work: the load.
        freshness: seconds from when a window may close to its predictions in BigQuery.
    """
    left = freshness - f.CLOSING_SECONDS
    if left <= 0:
        return math.inf
    steady = work.rate * f.EVENT_CPU / f.BUSY
    closing = work.rows_a_window * f.ROW_CPU / ((1 - f.BUSY) * left)
    return max(steady, closing)


def workers_needed(kind: Machine, vcpus: float) -> int | None:
    """Return how many of a machine have so many vCPUs; None where its memory or they do not do."""
    if kind.memory_gib < f.WORKER_GIB + f.PROCESS_GIB * kind.vcpus or math.isinf(vcpus):
        return None
    return max(1, math.ceil(vcpus / kind.vcpus))


def kafka_vcpus_needed(work: Load) -> int:
    """Return the vCPUs of a managed cluster, by Google's rule, with one consumer."""
    produced = work.written / 1e6
    copied = produced * (f.KAFKA_REPLICAS - 1)
    equivalent = produced + copied + f.KAFKA_READ_SHARE * (produced + copied)
    return max(f.KAFKA_LEAST_VCPUS, math.ceil(equivalent / f.KAFKA_MB_A_VCPU / f.KAFKA_BUSY))


def kafka_hour(vcpus: float, memory_gib: float) -> float:
    """Return the USD of an hour of a managed cluster, its local disk included."""
    disk = vcpus * f.KAFKA_LOCAL_GIB_A_VCPU * each("kafka_local_storage")
    return dcu(vcpus, memory_gib) * each("kafka_dcu") + disk / HOURS


def dcu(vcpus: float, memory_gib: float) -> float:
    """Return the units in which a managed cluster is billed."""
    return f.DCU_A_VCPU * vcpus + f.DCU_A_GIB * memory_gib


def cheapest(params: Params, rate: float, freshness: float) -> Shape | None:
    """Return the cheapest shape that holds a rate; None where none does."""
    work = load(params, rate)
    brokers = kafka_vcpus_needed(work)
    if brokers > MOST_KAFKA_VCPUS:
        return None
    memory = brokers * f.KAFKA_GIB_A_VCPU
    kafka = kafka_hour(brokers, memory)
    shapes = (
        Shape(
            kind.name,
            count,
            count * kind.vcpus,
            brokers,
            memory,
            HOURS * (count * kind.hour + kafka),
        )
        for kind, count in _fitting(vcpus_needed(work, freshness))
    )
    return min(shapes, key=lambda shape: (shape.month, shape.workers), default=None)


def _fitting(vcpus: float) -> Iterator[tuple[Machine, int]]:
    for name in CANDIDATES:
        kind = machine(name)
        count = None if kind is None else workers_needed(kind, vcpus)
        if kind is not None and count is not None and count <= MOST_WORKERS:
            yield kind, count
