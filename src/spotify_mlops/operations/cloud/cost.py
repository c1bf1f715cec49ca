"""What the production form costs in a month: every resource that is billed, at a rate of events.

Quantities are of the params and of `figures`, prices of `prices.yaml`. A price that nobody knows is
told as unknown: the total is then of the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from ...config.errors import ParamsError
from ...config.params import Params
from ...config.references import LOCAL, SECRET_MANAGER
from ...config.spanish import number
from . import figures as f
from . import prices, shape
from .prices import HOURS, Price
from .shape import Load, Shape

RATES = (1.0, 100.0, 10_000.0)
"""Events a second of which the comparison tells."""
MONTHS = 12
"""After how long what is kept is counted."""
FRESHNESS = 10.0
"""Seconds from when a window may close to its predictions in BigQuery."""
SERVICES = ("kafka", "dataflow", "bigquery", "storage", "vertex", "atlas", "other")
_SECONDS = HOURS * 3600.0
_DAYS = HOURS / 24
_MOST_NAT_MACHINES = 32


@dataclass(frozen=True)
class Line:
    """One resource that is billed."""

    resource: str
    """A code: what it is, and by what it is sized, is worded in ``presentation``."""
    quantity: float
    price: Price
    size: tuple[float | str, ...] = ()
    """What it is sized by, for its words."""

    @property
    def service(self) -> str:
        """Return whose bill it is on: one of `SERVICES`."""
        first = self.resource.partition("_")[0]
        return first if first in SERVICES else SERVICES[-1]

    @property
    def usd(self) -> float | None:
        """Return the cost of a month; None where the price is not known."""
        return self.price.of(self.quantity)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON has of it."""
        content = asdict(self.price)
        return {
            "resource": self.resource,
            "quantity": self.quantity,
            "unit": content.pop("unit"),
            "usd": self.usd,
            "price": content,
        }


@dataclass(frozen=True)
class Estimate:
    """What a month costs."""

    rate: float
    """Events a second."""
    lines: tuple[Line, ...]
    workers: int
    kafka_vcpus: int
    over: tuple[str, ...]
    """Codes of what the rate needs more of than the params have: the estimate has what it needs."""

    @property
    def total(self) -> float:
        """Return the USD of all whose price is known."""
        return sum(line.usd or 0.0 for line in self.lines)

    @property
    def unknown(self) -> tuple[Line, ...]:
        """Return the resources whose price nobody knows."""
        return tuple(line for line in self.lines if line.usd is None)

    def by_service(self) -> dict[str, float]:
        """Return the USD of each of `SERVICES` whose price is known."""
        costs = dict.fromkeys(SERVICES, 0.0)
        for line in self.lines:
            costs[line.service] += line.usd or 0.0
        return costs

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON has of it."""
        return {
            "events_per_second": self.rate,
            "total": self.total,
            "unknown": [line.resource for line in self.unknown],
            "workers": self.workers,
            "kafka_vcpus": self.kafka_vcpus,
            "over": list(self.over),
            "lines": [line.to_dict() for line in self.lines],
        }


def is_all_local(params: Params) -> bool:
    """Tell whether all of a profile is on this machine, where nothing is billed."""
    places = (params.kafka.bootstrap, params.bigquery.rest, params.mongo.uri, params.cloud.vertex)
    return set(places) == {LOCAL} and params.cloud.archive == LOCAL


def estimate(
    params: Params,
    rate: float | None = None,
    months: float = MONTHS,
    freshness: float = FRESHNESS,
) -> Estimate:
    """Return what a month costs, all in Google Cloud and MongoDB Atlas.

    Where the params have fewer machines than the rate needs, those that it needs are counted.

    Args:
        params: of the profile.
        rate: events a second; by default ``events_per_second``.
        months: after how many what is kept is counted.
        freshness: seconds, as `shape.vcpus_needed` takes them.

    Raises:
        ParamsError: the name of the workers' machine does not say what it has.
    """
    rate = params.platform.events_per_second if rate is None else rate
    work = shape.load(params, rate)
    kind = shape.machine(params.dataflow.machine)
    if kind is None:
        raise ParamsError(
            f"dataflow_machine es «{params.dataflow.machine}»: de esa máquina no se sabe cuántos "
            "vCPU tiene (se espera una como n2-standard-2)."
        )
    needed = shape.workers_needed(kind, shape.vcpus_needed(work, freshness))
    brokers = shape.kafka_vcpus_needed(work)
    workers = max(params.dataflow.workers, needed or params.dataflow.max_workers)
    vcpus = max(params.platform.kafka_vcpus, brokers)
    memory = params.platform.kafka_memory_gib
    if vcpus > params.platform.kafka_vcpus:
        memory = max(memory, brokers * f.KAFKA_GIB_A_VCPU)
    checks = {
        "freshness": needed is None,
        "dataflow_max_workers": workers > params.dataflow.max_workers,
        "kafka_vcpus": vcpus > params.platform.kafka_vcpus,
    }
    lines = (
        *_kafka(params, work, vcpus, memory),
        *_dataflow(params, work, kind, workers),
        *_bigquery(params, work, months),
        *_storage(params, work, months),
        *_vertex(params),
        *_atlas(params, work),
        *_the_rest(params, work, workers),
    )
    return Estimate(rate, lines, workers, vcpus, tuple(code for code, yes in checks.items() if yes))


@dataclass(frozen=True)
class Report:
    """An estimate, and beside it what other rates cost and the cheapest shape."""

    estimate: Estimate
    rates: tuple[tuple[Estimate, Shape | None], ...]
    cheapest: Shape | None
    freshness: float
    months: float
    limit: float
    """USD, ``monthly_limit``."""
    region: str
    """Where the prices hold."""
    is_billed: bool

    @property
    def is_within_limit(self) -> bool:
        """Tell whether the estimate is not above the limit."""
        return self.estimate.total <= self.limit

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON has of it."""
        return self.estimate.to_dict() | {
            "monthly_limit": self.limit,
            "within_limit": self.is_within_limit,
            "billed": self.is_billed,
            "region": self.region,
            "months": self.months,
            "freshness": self.freshness,
            "cheapest": _shape_dict(self.cheapest),
            "by_rate": [
                {
                    "events_per_second": found.rate,
                    "total": found.total,
                    "workers": found.workers,
                    "kafka_vcpus": found.kafka_vcpus,
                    "over": list(found.over),
                    "cheapest": _shape_dict(best),
                }
                for found, best in self.rates
            ],
        }


def report(
    params: Params,
    rate: float | None = None,
    months: float = MONTHS,
    freshness: float = FRESHNESS,
) -> Report:
    """Return the whole answer; the arguments are those of `estimate`."""
    found = estimate(params, rate, months, freshness)
    return Report(
        found,
        tuple(
            (estimate(params, each, months, freshness), shape.cheapest(params, each, freshness))
            for each in RATES
        ),
        shape.cheapest(params, found.rate, freshness),
        freshness,
        months,
        params.platform.monthly_limit,
        prices.region(),
        not is_all_local(params),
    )


def check_limit(params: Params) -> Estimate:
    """Return the estimate of the params, which is not above their limit.

    Raises:
        ParamsError: it is.
    """
    found = estimate(params)
    if found.total > params.platform.monthly_limit:
        raise ParamsError(
            f"A {number(found.rate, 2, trim=True)} eventos/s costaría {number(found.total)} USD al "
            f"mes, y monthly_limit es {number(params.platform.monthly_limit)}: no se despliega "
            "nada. «spotify-mlops cloud cost» dice en qué; sube el límite o cambia el tamaño."
        )
    return found


def _line(resource: str, quantity: float, *size: float | str) -> Line:
    return Line(resource, quantity, prices.price(resource), size)


def _kafka(params: Params, work: Load, vcpus: int, memory: float) -> Iterator[Line]:
    month = work.written * _SECONDS / f.GIB
    days = params.platform.log_retention / timedelta(days=1)
    kept = month * days / _DAYS
    local = vcpus * f.KAFKA_LOCAL_GIB_A_VCPU
    yield _line("kafka_dcu", shape.dcu(vcpus, memory) * HOURS, vcpus, memory)
    yield _line("kafka_local_storage", local, f.KAFKA_LOCAL_GIB_A_VCPU)
    yield _line("kafka_remote_storage", kept, days, f.RECORD_BYTES)
    yield _line("kafka_replication", month * (f.KAFKA_REPLICAS - 1), f.KAFKA_REPLICAS - 1)
    yield _line("kafka_private_access", 2 * month)


def _dataflow(params: Params, work: Load, kind: shape.Machine, workers: int) -> Iterator[Line]:
    passed = work.rate + work.rows * (2 + len(params.windows.lags))  # summed, ranked, carried
    yield _line("dataflow_vcpu", workers * kind.vcpus * HOURS, workers, kind.name)
    yield _line("dataflow_memory", workers * kind.memory_gib * HOURS, workers, kind.memory_gib)
    yield _line("dataflow_disk", workers * f.DATAFLOW_DISK_GIB * HOURS, f.DATAFLOW_DISK_GIB)
    moved = passed * f.BATCH_BYTES * _SECONDS / f.GIB
    yield _line("dataflow_streaming_engine", moved, f.BATCH_BYTES)


def _bigquery(params: Params, work: Load, months: float) -> Iterator[Line]:
    from ...io.bigquery import tables

    of_event = tables.EVENTS.row_bytes
    of_row = tables.features(params.windows).row_bytes + tables.PREDICTIONS.row_bytes
    month = (work.rate * of_event + work.rows * of_row) * _SECONDS / f.GIB
    kept = _months(params.platform.warehouse_retention, months)
    active = min(kept, f.ACTIVE_MONTHS)
    yield _line("bigquery_write", month, of_event, of_row)
    yield _line("bigquery_storage", month * active, active)
    yield _line("bigquery_old_storage", month * (kept - active), kept - active)
    yield _line("bigquery_queries", _queried(work) / f.TIB, f.BOARD_HOURS)


def _queried(work: Load) -> float:
    """Return the bytes that BigQuery counts for Grafana's boards in a month.

    A panel reads at most the predictions of two days, the partitions that one day touches.
    """
    from ...io.bigquery import tables

    of_panel = max(f.LEAST_QUERY_BYTES, 2 * 86_400 * work.rows * tables.PREDICTIONS.row_bytes)
    asked = sum(panels * f.BOARD_HOURS * 3600 / every for panels, every in f.PANELS.values())
    return asked * of_panel


def _storage(params: Params, work: Load, months: float) -> Iterator[Line]:
    month = work.rate * f.ARCHIVED_BYTES * _SECONDS / f.GIB
    files = f.ARCHIVE_FILES_A_DAY * params.engine.sources * _DAYS / 1000
    replaced = work.rate * f.NEW_BYTES * f.OLDER_VERSIONS_DAYS * 86_400 / f.GIB
    yield _line("storage", month * months + replaced, months, f.ARCHIVED_BYTES)
    yield _line("storage_writes", files, f.ARCHIVE_FILES_A_DAY, params.engine.sources)


def _vertex(params: Params) -> Iterator[Line]:
    serving, training = params.cloud.serving_machine, params.cloud.training_machine
    hours = f.TRAININGS * f.TRAINING_HOURS
    yield Line("vertex_endpoint", HOURS, prices.vertex_node(serving), (serving,))
    price = prices.vertex_node(training)
    yield Line("vertex_training", hours, price, (f.TRAININGS, f.TRAINING_HOURS, training))


def _atlas(params: Params, work: Load) -> Iterator[Line]:
    tier = params.platform.atlas_tier
    yield Line("atlas", HOURS, prices.atlas(tier), (tier,))
    recent = params.windows.operational_retention.total_seconds() * work.written / f.GIB
    yield _line("atlas_backup", recent)
    yield _line("atlas_transfer", _to_mongo(params, work))


def _to_mongo(params: Params, work: Load) -> float:
    """Return the GiB that go to MongoDB in a month."""
    from ...io.bigquery import tables

    of_row = tables.features(params.windows).row_bytes
    return (work.written + work.rows * of_row) * _SECONDS / f.GIB


def _the_rest(params: Params, work: Load, workers: int) -> Iterator[Line]:
    secrets = sum(str(value).startswith(SECRET_MANAGER) for value in params.flat().values())
    logged = workers * f.LOGS_GIB_A_WORKER
    points = f.METRICS * _SECONDS / 60
    yield _line("secrets", secrets)
    yield _line("images", f.IMAGES_GIB)
    yield _line("logs", logged, f.LOGS_GIB_A_WORKER)
    yield _line("metrics", points * f.METRIC_BYTES / f.MIB, f.METRICS)
    yield _line("alerts", f.ALERTS)
    yield _line("nat_gateway", min(workers, _MOST_NAT_MACHINES) * HOURS, workers)
    yield _line("nat_address", HOURS)
    yield _line("nat_data", _to_mongo(params, work))
    hours = f.RUNS_A_DAY * _DAYS * f.RUN_SECONDS / 3600
    yield _line("schedules", f.SCHEDULES)
    yield _line("jobs_vcpu", hours * f.RUN_VCPUS, f.RUNS_A_DAY, f.RUN_SECONDS)
    yield _line("jobs_memory", hours * f.RUN_GIB, f.RUN_GIB)
    yield _line("watcher_vcpu", HOURS * f.WATCHER_VCPUS, f.WATCHER_VCPUS)
    yield _line("watcher_memory", HOURS * f.WATCHER_GIB, f.WATCHER_GIB)


def _shape_dict(found: Shape | None) -> dict[str, Any] | None:
    return None if found is None else asdict(found)


def _months(retention: timedelta | None, months: float) -> float:
    return months if retention is None else min(months, retention / timedelta(days=1) / _DAYS)
