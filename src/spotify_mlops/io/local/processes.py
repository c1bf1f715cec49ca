"""Start, watch and stop processes that outlive the command that started them.

Used for the local services and for the project's own long runs (stream, endpoint, simulator,
live page). Each runs in a session of its own with a log file and a record in the state file, and
carries that record in its environment, so that it is found (`recover`) when the file is lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import psutil

from ...config import modes, paths
from ...config.errors import ServiceError
from ...config.spanish import exact
from .. import logs
from . import environment, running, state

OWNER = "SPOTIFY_MLOPS_OWNER"
"""Environment variable that marks a process, and all it starts, with its state directory."""
PROCESS = "SPOTIFY_MLOPS_PROCESS"
"""Environment variable with a process's record; what it starts inherits it, with other commands."""
_POLL = 0.05
_TAIL_BYTES = 16_384


def start(
    name: str,
    argv: Sequence[str | Path],
    *,
    ready: Callable[[], bool] | None = None,
    timeout: float = 60.0,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    kind: state.Kind = "app",
    ports: Mapping[str, int] | None = None,
    addresses: Mapping[str, str] | None = None,
) -> state.Record:
    """Start a process, wait until ``ready()`` and record it; if it runs already, return that.

    One that runs and has lost its record counts, and gets it back.

    Args:
        name: the record's name; the log is ``logs/<name>.log`` in the state directory.
        argv: program and arguments.
        ready: asks the process, by its own protocol, whether it serves; called again until it
            returns True. Without it the process counts as ready at once.
        timeout: seconds to wait for ``ready``.
        env: variables that it needs besides those that every process gets (`environment`).
        cwd: working directory (default: the checkout).
        kind: ``service`` (owned by ``up``) or ``app``.
        ports: ports that the process itself must listen on before ``ready`` is asked (another
            process may have taken one meanwhile, and would answer); kept in the record.
        addresses: kept in the record for clients to read.

    Raises:
        ServiceError: the process ended or did not become ready; it is stopped, and the message
            ends with the tail of its log.
    """
    recover()
    present = state.get(name)
    if present is not None and is_alive(present):
        return present
    log = state.folder("logs") / f"{name}.log"
    logs.put_aside_when_full(log)
    record = state.Record(
        name=name,
        kind=kind,
        started=state.now(),
        log=str(log),
        ports=dict(ports or {}),
        addresses=dict(addresses or {}),
    )
    command = [str(part) for part in argv]
    own = {OWNER: _owner(), PROCESS: _told(record, command), logs.LOG: str(log)}
    with log.open("ab") as output:
        output.write(f"--- {record.started} {name}\n".encode())
        output.flush()
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=modes.PRIVATE,
                cwd=cwd or paths.root(),
                env={**environment.inherited(), **(env or {}), **own},
            )
        except OSError as error:
            raise ServiceError(f"No se pudo iniciar «{name}»: {error}.") from error
    record = replace(record, pid=process.pid, identity=running.identity(process.pid))
    state.put(record)
    try:
        _await_ready(record, process, ready, timeout)
    except BaseException:
        stop(record)
        raise
    return record


def _await_ready(
    record: state.Record,
    process: subprocess.Popen[bytes],
    ready: Callable[[], bool] | None,
    timeout: float,
) -> None:
    deadline = time.monotonic() + timeout
    while not (owns_ports(record) and (ready is None or ready())):
        try:  # the process's end is the event; its absence for a moment means: ask again
            status = process.wait(_POLL)
        except subprocess.TimeoutExpired:
            if time.monotonic() < deadline:
                continue
            raise ServiceError(
                f"«{record.name}» no respondió en {exact(timeout)} s. {explain(record)}"
            ) from None
        raise ServiceError(
            f"«{record.name}» terminó al arrancar (código {status}). {explain(record)}"
        )


def answers(record: state.Record, ready: Callable[[], bool], timeout: float) -> bool:
    """Tell whether a process that was started before answers within ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not (owns_ports(record) and ready()):
        if time.monotonic() >= deadline or not is_alive(record):
            return False
        pause.wait(_POLL)
    return True


def owns_ports(record: state.Record) -> bool:
    """Tell whether the process (or one that it started) listens on all its ports."""
    if not record.ports:
        return True
    if record.pid is None:
        return False
    try:
        root = psutil.Process(record.pid)
        connections = [
            connection
            for process in (root, *root.children(recursive=True))
            for connection in process.net_connections("tcp")
        ]
    except psutil.Error:
        return False
    listening = {c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN}
    return listening >= set(record.ports.values())


def explain(record: state.Record) -> str:
    """Return where the log is and how it ends, for an error message."""
    return f"Registro: {record.log}\n{tail(record.log)}"


def is_alive(record: state.Record) -> bool:
    """Tell whether the recorded process itself still runs (not another one with its pid)."""
    return record.pid is not None and running.identity(record.pid) == record.identity is not None


def stop(record: state.Record, timeout: float = 20.0) -> None:
    """End a process and all it started: TERM, then KILL after ``timeout`` seconds.

    The record stays, without its pid. Stopping what does not run is harmless.
    """
    halt(record, timeout)
    state.put((state.get(record.name) or record).stopped())


def halt(record: state.Record, timeout: float = 20.0) -> None:
    """Do as ``stop`` does, and write nothing: on a full disk, too, everything must end."""
    family = _family(record)
    # First the process itself: it may still need the others to end in order.
    running.end(family[:1], timeout)
    running.end(family[1:], timeout)


@contextlib.contextmanager
def registered(name: str) -> Iterator[None]:
    """Keep a record of this process while it does what a started one would do.

    So that ``status`` tells of it, and ``down`` ends it, when somebody ran it in a terminal. Where
    there is such a process on record already, which may be this one, nothing happens.
    """
    recover()
    other = state.get(name)
    if other is not None and is_alive(other):
        yield
        return
    pid = os.getpid()
    record = state.Record(name, pid=pid, identity=running.identity(pid), started=state.now())
    state.put(record)
    try:
        yield
    finally:
        state.put(record.stopped())


def recover() -> list[str]:
    """Write the record of each process that runs without one; return their names.

    The state file may have been lost or put back from an older copy, or whoever started the
    process was killed before writing it.
    """
    lost = unrecorded()
    if lost:
        state.put(*lost.values())
    return list(lost)


def unrecorded() -> dict[str, state.Record]:
    """Return the records of the processes that run without one, by name."""
    records = state.read()

    def is_known(name: str) -> bool:
        return name in records and is_alive(records[name])

    living = _living().items()
    return {n: record for n, record in living if not is_known(n) and is_alive(record)}


def strays() -> list[psutil.Process]:
    """Return the marked processes that belong to none of those on record.

    The caller and its ancestors are left out.
    """
    kept = set()
    for record in state.read().values():
        with contextlib.suppress(psutil.NoSuchProcess):  # it ends meanwhile
            kept |= {process.pid for process in _family(record)}
    return [process for process in _others() if process.pid not in kept]


def end(found: Iterable[psutil.Process], timeout: float = 10.0) -> list[str]:
    """End processes: TERM, then KILL after ``timeout`` seconds; return their names."""
    processes = list(found)
    names = [running.describe(process) for process in processes]
    running.end(processes, timeout)
    return names


def sweep(timeout: float = 10.0) -> list[str]:
    """End every process that carries this state directory's mark; return their names.

    Finds what lost its parent, its session and its record. The caller and its ancestors are left
    alone.
    """
    return end(_others(), timeout)


def tail(log: str | Path | None, lines: int = 15) -> str:
    """Return the last lines of a log, also where it was just started anew; empty without one."""
    if log is None:
        return ""
    text = b"".join(_end_of(part) for part in (logs.aside(Path(log), 1), Path(log)))
    return "\n".join(text.decode("utf-8", errors="replace").splitlines()[-lines:])


def _end_of(log: Path) -> bytes:
    try:
        with log.open("rb") as handle:
            handle.seek(max(0, os.fstat(handle.fileno()).st_size - _TAIL_BYTES))
            return handle.read()
    except FileNotFoundError:
        return b""


def _owner() -> str:
    return str(paths.state_dir().resolve())


def _told(record: state.Record, command: Sequence[str]) -> str:
    """Return a record as a process carries it: it does not know its pid before it runs."""
    return json.dumps(asdict(record) | {"command": _digest(command)})


def _digest(command: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(command).encode()).hexdigest()


def _marked() -> Iterator[tuple[psutil.Process, Mapping[str, str]]]:
    """Give each process with this state directory's mark, and its environment."""
    owner = _owner()
    for process in psutil.process_iter():
        try:
            environ = process.environ()
        except (psutil.Error, OSError):  # ended meanwhile, or another user's
            continue
        if environ.get(OWNER) == owner:
            yield process, environ


def _others() -> list[psutil.Process]:
    own = psutil.Process()
    spared = {own.pid, *(parent.pid for parent in own.parents())}
    return [process for process, _ in _marked() if process.pid not in spared]


def _living() -> dict[str, state.Record]:
    """Return the records of the processes that run, as they carry them.

    What a process started carries the same, but was started by another command; a copy of it
    (fork) is younger.
    """
    found: dict[str, tuple[float, state.Record]] = {}
    for process, environ in _marked():
        try:
            content = json.loads(environ[PROCESS])
            if content.pop("command") != _digest(process.cmdline()):
                continue
            record = state.Record(**content)
            age = process.create_time()
        except (psutil.Error, OSError, KeyError, ValueError, TypeError):
            continue  # it ended meanwhile, or another version of this program started it
        if record.name not in found or age < found[record.name][0]:
            pid = process.pid
            found[record.name] = age, replace(record, pid=pid, identity=running.identity(pid))
    return {name: record for name, (_, record) in found.items()}


def _family(record: state.Record) -> list[psutil.Process]:
    """Return a recorded process and all it started, itself first; none when it has ended."""
    return running.family(record.pid) if record.pid is not None and is_alive(record) else []
