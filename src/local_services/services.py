"""The local services together: start, stop and describe them."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from spotify_mlops.config import paths
from spotify_mlops.config.errors import ServiceError
from spotify_mlops.config.progress import Progress, silent
from spotify_mlops.io.http import ports
from spotify_mlops.io.local import health, processes, running, state

from . import bigquery, dataflow, kafka, mongo, vertex
from .flink import cluster
from .service import Service

Condition = Literal["running", "unhealthy", "broken", "crashed", "stopped", "stray"]
"""``unhealthy`` does not answer, ``broken`` answers and cannot write, and a ``stray`` runs and
belongs to none of those on record."""
FAULTS: tuple[Condition, ...] = ("unhealthy", "broken", "crashed", "stray")
"""What ``up`` repairs."""
_ATTEMPTS = 3


SERVICES = tuple(
    Service(name, title, module.PORTS, module.command, module.is_ready, module.addresses)
    for name, title, module in (
        ("kafka", "Apache Kafka", kafka),
        ("bigquery", "BigQuery (emulador)", bigquery),
        ("mongo", "MongoDB (servidor compatible)", mongo),
        ("vertex", "Vertex AI (local)", vertex),
    )
)


@dataclass(frozen=True)
class ServiceStatus:
    """What ``status`` tells about one process."""

    name: str
    kind: state.Kind
    state: Condition
    addresses: dict[str, str]
    pid: int | None
    started: str | None
    log: str | None
    log_tail: str
    """The end of the log of a process that does not do its work; else empty."""
    reason: str = ""
    """Why it is so, when that is known (Spanish)."""


def up(
    progress: Progress = silent,
    timeout: float = 60.0,
    *,
    task_managers: int = 0,
    with_dataflow: bool = False,
) -> dict[str, state.Record]:
    """Start the services that do not run, all at once, and wait until each answers.

    One that runs and does not answer, or cannot write, is started again. Calling it again is
    harmless. Ports are those of the last time when they are free.

    Args:
        progress: receives short Spanish messages.
        timeout: seconds that each service has to answer.
        task_managers: of a Flink cluster; without any, what of one ended by itself is started
            again, and nothing else of it.
        with_dataflow: whether to start the Dataflow stand-in, which needs such a cluster.

    Raises:
        UserError: the state directory cannot be written.
        ServiceError: a service ended or does not answer; the message has the tail of its log.
            The services that did start stay up.
    """
    for name in ("", "logs", "archive"):
        state.folder(name)
    with state.locked("up"):
        _tidy(progress)
        wanted = _wanted(task_managers, with_dataflow)
        before = state.read()
        started: dict[str, Future[state.Record]] = {}

        def start(service: Service) -> state.Record:
            own = before.get(service.name)
            for name in service.after:
                # One that is new does not know who knew the one before it.
                if name in started and started[name].result() != before.get(name) and own:
                    processes.stop(own)
            return _start(service, progress, timeout)

        with ThreadPoolExecutor(len(wanted)) as pool:
            for service in wanted:  # those that others wait for are named before them
                started[service.name] = pool.submit(start, service)
        failures = [failure for future in started.values() if (failure := future.exception())]
        for failure in failures:
            raise failure
        return {name: future.result() for name, future in started.items()}


def down(progress: Progress = silent) -> None:
    """End every process that this checkout started, apps before services; keep the data.

    Those that are on no record, too. Only then it writes: the disk may be full.

    Raises:
        ServiceError: a process does not end, or all did and the state file cannot be written.
    """
    if not state.read() and not processes.strays():
        return
    with state.locked("up"):
        records = (state.read() | processes.unrecorded()).values()
        for kind in ("app", "service"):
            alive = [r for r in records if r.kind == kind and processes.is_alive(r)]
            for record in alive:
                progress(f"Deteniendo «{record.name}»")
            with ThreadPoolExecutor(max(1, len(alive))) as pool:
                list(pool.map(processes.halt, alive))
        _told_of(processes.sweep(), progress)
        try:
            state.put(*(record.stopped() for record in records))
        except OSError as error:
            raise ServiceError(
                f"Todo está detenido, pero no se pudo anotar en {paths.state_dir() / state.FILE}: "
                f"{error.strerror}. {health.shortage()}".rstrip()
            ) from error


def status() -> list[ServiceStatus]:
    """Describe the services, started or not, the apps, and what runs without being either."""
    processes.recover()
    records = state.read()
    names = [service.name for service in SERVICES]
    names += [name for name in records if name not in names]
    with ThreadPoolExecutor(len(names)) as pool:
        found = list(pool.map(lambda name: _status(name, records.get(name)), names))
    return found + [
        ServiceStatus(running.describe(stray), "app", "stray", {}, stray.pid, None, None, "")
        for stray in processes.strays()
    ]


def _wanted(task_managers: int, with_dataflow: bool) -> list[Service]:
    """Return what `up` is to start: of the engines what is asked for, and what has run before."""
    asked = cluster.parts(task_managers) if task_managers else ()
    if with_dataflow:
        asked = (*asked, dataflow.SERVICE)
    named = {service.name: service for service in (*SERVICES, *asked)}
    fallen = (_engine_part(r.name) for r in state.read().values() if r.pid is not None)
    named |= {service.name: service for service in fallen if service is not None}
    return sorted(named.values(), key=lambda service: len(service.after))


def _engine_part(name: str) -> Service | None:
    return dataflow.SERVICE if name == dataflow.NAME else cluster.part(name)


def _tidy(progress: Progress) -> None:
    """Recognise what runs without a record, and end what belongs to nothing on record."""
    for name in processes.recover():
        progress(f"«{name}» ya estaba en marcha, sin constar")
    _told_of(processes.end(processes.strays()), progress)


def _told_of(ended: list[str], progress: Progress) -> None:
    if ended:
        progress(f"Detenidos, porque no constaban: {', '.join(sorted(ended))}")


def _start(service: Service, progress: Progress, timeout: float) -> state.Record:
    before = state.get(service.name)
    if before is not None and processes.is_alive(before):
        try:
            # A busy one, or one that is starting, may take a while to answer.
            if processes.answers(before, lambda: service.is_ready(before.ports), timeout):
                return before
            fault = "no responde"
        except health.BrokenError as error:
            fault = f"no puede escribir ({error})"
        progress(f"{service.title} {fault}; se inicia de nuevo")
        processes.stop(before)
    elif before is not None and before.pid is not None:
        progress(f"{service.title} se había caído; se inicia de nuevo")
    remembered = before.ports if before and service.keeps_ports else {}
    for attempt in range(1, _ATTEMPTS + 1):
        chosen = ports.choose(service.ports, remembered)
        moved = [str(port) for name, port in remembered.items() if chosen.get(name) != port]
        if moved:
            progress(f"{service.title}: puerto {', '.join(moved)} ocupado; se usa otro")
        argv, env = service.command(chosen, progress)
        try:
            record = processes.start(
                service.name,
                argv,
                env=env,
                ready=lambda chosen=chosen: service.is_ready(chosen),  # type: ignore[misc]
                timeout=timeout,
                kind="service",
                ports=chosen,
                addresses=service.addresses(chosen),
            )
        except health.BrokenError as fault:
            raise ServiceError(
                f"{service.title} arranca pero no puede escribir: {fault}. {health.shortage()}"
            ) from fault
        except ServiceError as error:
            # Between choosing a port and binding it another process may have taken it.
            if attempt == _ATTEMPTS or all(ports.is_free(port) for port in chosen.values()):
                raise ServiceError(f"{error}\n{health.shortage()}".rstrip()) from error
            remembered = chosen
        else:
            where = ", ".join(record.addresses.values())
            progress(f"{service.title} responde{' en ' if where else ''}{where}")
            return record
    raise AssertionError("unreachable")


def _status(name: str, record: state.Record | None) -> ServiceStatus:
    service = next((s for s in SERVICES if s.name == name), None) or _engine_part(name)
    if record is None:
        return ServiceStatus(name, "service", "stopped", {}, None, None, None, "")
    condition, reason = _condition(service, record)
    return ServiceStatus(
        name=name,
        kind=record.kind,
        state=condition,
        addresses=record.addresses,
        pid=record.pid,
        started=record.started,
        log=record.log,
        log_tail=processes.tail(record.log) if condition in FAULTS else "",
        reason=reason,
    )


def _condition(service: Service | None, record: state.Record) -> tuple[Condition, str]:
    """Return how a process that was started is, and why when that is known."""
    if record.pid is None:
        return "stopped", ""
    if not processes.is_alive(record):
        return "crashed", health.shortage()
    try:
        well = processes.owns_ports(record) and (service is None or service.is_ready(record.ports))
    except health.BrokenError as fault:
        return "broken", f"{fault}. {health.shortage()}".rstrip()
    return ("running", "") if well else ("unhealthy", health.shortage())
