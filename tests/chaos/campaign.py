"""Runs of the streaming job over one log, disturbed, and what they leave behind compared."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from local_services import services as local_services
from spotify_mlops.config.errors import IntegrityError, ServiceError
from spotify_mlops.config.params import Params
from spotify_mlops.config.progress import Progress, silent
from spotify_mlops.io.local import processes, state
from spotify_mlops.operations import apps
from spotify_mlops.pipeline.sinks import positions

from . import contents
from .faults import SERVICES, SWITCHED, Fault, Switches, kill
from .log import SHORT, FixedLog, publish

STALLED_SECONDS = 600.0
"""Without progress or faults for this long a run has failed."""
_EXPECTED_EXITS = (0, -signal.SIGKILL, ServiceError.exit_code)
"""Done, killed, or a service that stayed away; it is then started again."""
_TESTS = Path(__file__).parents[1]
PRISM: Mapping[str, Any] = MappingProxyType({"engine_runner": "prism"})
FLINK: Mapping[str, Any] = MappingProxyType(
    {"engine_runner": "flink", "engine_sources": 4, "parallelism": 2}
)
DATAFLOW: Mapping[str, Any] = MappingProxyType(
    {"engine_runner": "dataflow", "engine_sources": 4, "dataflow_max_workers": 2}
)


@dataclass
class Outcome:
    """What was done to a run and what became of it."""

    name: str
    faults: list[dict[str, Any]] = field(default_factory=list)
    """Those that were executed, with ``done``: whether their target ran then."""
    exits: list[int] = field(default_factory=list)
    """How each streaming process ended; the last is 0."""
    seconds: float = 0.0
    contents: dict[str, Any] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    @property
    def kills(self) -> Counter[str]:
        """Processes ended by kill -9, by what they were."""
        return Counter(f["what"] for f in self.faults if f["what"] not in SWITCHED and f["done"])

    @property
    def equal(self) -> bool:
        """Whether the run left what an undisturbed one leaves."""
        return not self.differences

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self) | {"kills": dict(self.kills), "equal": self.equal}


class Campaign:
    """Streams one log undisturbed, then as often as asked with faults."""

    def __init__(
        self,
        log: FixedLog,
        folder: Path,
        say: Progress = silent,
        engines: Sequence[Mapping[str, Any]] = (PRISM,),
    ) -> None:
        """Keep logs and switches in ``folder``.

        ``engines`` are the params of what runs the job: the first at first, and after each start
        the next, round and round.
        """
        self.log = log
        self._engines = engines
        self._folder = folder
        self._say = say
        self.reference: dict[str, contents.Content] = {}

    def on(self, *engines: Mapping[str, Any]) -> Campaign:
        """Return this campaign on other engines, compared with the same run."""
        other = Campaign(self.log, self._folder, self._say, engines)
        other.reference = self.reference
        return other

    def undisturbed(self) -> Outcome:
        """Stream the log without a fault: what the other runs are compared with."""
        outcome, self.reference = self._run("undisturbed", [])
        return outcome

    def disturbed(self, name: str, faults: Sequence[Fault]) -> Outcome:
        """Stream the log with faults and compare."""
        outcome, found = self._run(name, faults)
        outcome.differences += contents.differences(self.reference, found)
        return outcome

    def _run(
        self, name: str, faults: Sequence[Fault]
    ) -> tuple[Outcome, dict[str, contents.Content]]:
        settings = self.log.fresh(name)
        began = time.monotonic()
        turns = [settings.replace(**engine) for engine in self._engines]
        run = _Run(turns, self.log, faults, self._folder / name, self._say)
        outcome = Outcome(name, run.done, run.exits)
        run.to_the_end()
        outcome.seconds = round(time.monotonic() - began, 1)
        found = contents.read(settings)
        outcome.contents = contents.summary(found)
        outcome.differences += contents.faults(settings)
        if not self.log.is_unchanged():
            outcome.differences.append("El registro tiene más registros que antes de la ejecución.")
        return outcome, found


@contextmanager
def beside_prism(folder: Path, engine: Mapping[str, Any], **asked: Any) -> Iterator[Campaign]:
    """Publish a short log, see what Prism leaves of it, and have another engine for the block.

    Args:
        folder: for the runs.
        engine: on which the campaign is.
        asked: of ``services.up``; what it starts besides ends with the block.
    """
    on_prism = Campaign(publish(folder, **SHORT), folder / "runs")
    assert on_prism.undisturbed().differences == []
    before = {name for name, record in state.read().items() if record.pid is not None}
    local_services.up(**asked)
    try:
        yield on_prism.on(engine)
    finally:
        own = [record for name, record in state.read().items() if name not in before]
        for record in own:
            processes.halt(record)
        state.put(*(record.stopped() for record in own))


class _Run:
    """One run: its streaming process is started again, by the same command, until it is done."""

    def __init__(
        self,
        turns: Sequence[Params],
        log: FixedLog,
        faults: Sequence[Fault],
        folder: Path,
        say: Progress,
    ) -> None:
        self._turns = turns
        self._log = log
        self._waiting = list(faults)
        self._say = say
        folder.mkdir(parents=True)
        self._switches = Switches(folder)
        self._output = folder / "stream.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._ending: list[tuple[float, Fault]] = []
        """Faults that last, with the moment at which they end."""
        self._last = time.monotonic()
        """When the last fault was executed or the position moved."""
        self._reached = 0.0
        self.done: list[dict[str, Any]] = []
        self.exits: list[int] = []

    def to_the_end(self) -> None:
        """Stream until the log is answered for and every fault was executed.

        Raises:
            IntegrityError: nothing moved for a long time, or the job ended as no fault explains.
        """
        try:
            while not self._step():
                self._watch()
        finally:
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()
                self._process.wait(60)
            for _, fault in self._ending:
                self._end(fault)

    def _step(self) -> bool:
        """Start, wait a moment, and do what is due; True when the run is over."""
        if self._process is None:
            self._process = self._start()
        try:  # the process's end is the event
            self.exits.append(self._process.wait(0.1))
        except subprocess.TimeoutExpired:
            pass
        else:
            self._process = None
            if self.exits[-1] not in _EXPECTED_EXITS:
                raise self._failure(f"La tarea terminó con {self.exits[-1]}")
            if self.exits[-1] == 0 and not self._ending:
                self._waiting.clear()  # the log ended before them: they count for nothing
                return True
        now = time.monotonic()
        for entry in [entry for entry in self._ending if entry[0] <= now]:
            self._ending.remove(entry)
            self._end(entry[1])
        self._look()
        if self._waiting and self._is_due(self._waiting[0]):
            self._execute(self._waiting.pop(0))
        return False

    def _look(self) -> None:
        reached = self._log.share_before(positions.load(self._turns[0]))
        if reached > self._reached:
            self._reached = reached
            if not (self._waiting and reached >= self._waiting[0].at):
                self._last = time.monotonic()

    def _is_due(self, fault: Fault) -> bool:
        return self._reached >= fault.at and time.monotonic() - self._last >= fault.delay

    def _execute(self, fault: Fault) -> None:
        self._last = time.monotonic()
        done = True
        if fault.what in SWITCHED:
            self._switches.on(fault)
        else:
            done = kill(fault.what, self._process)
        if fault.what in SERVICES or fault.what in ("refuse", "disk"):
            self._ending.append((time.monotonic() + fault.seconds, fault))
        self.done.append(fault.to_dict() | {"done": done, "reached": round(self._reached, 4)})
        self._say(f"{self._reached:6.1%}  {fault.what} {fault.sink} {fault.seconds or ''}")

    def _end(self, fault: Fault) -> None:
        if fault.what in SERVICES:
            local_services.up()
        else:
            self._switches.off(fault)

    def _start(self) -> subprocess.Popen[bytes]:
        file = apps.params_file(self._turns[len(self.exits) % len(self._turns)])
        command = ["stream", "--until-caught-up", "--params", str(file)]
        with self._output.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "chaos.injected", str(self._switches.folder), *command],
                stdout=output,
                stderr=output,
                env=os.environ | {"PYTHONPATH": str(_TESTS)},
                start_new_session=True,
            )

    def _watch(self) -> None:
        if time.monotonic() - self._last > STALLED_SECONDS:
            raise self._failure(f"La ejecución no avanza, salidas {self.exits}")

    def _failure(self, what: str) -> IntegrityError:
        return IntegrityError(
            f"{what}, con el {self._reached:.1%} del registro.\n{processes.tail(self._output)}"
        )


def to_json(outcomes: Sequence[Outcome]) -> str:
    """Return outcomes as JSON."""
    return json.dumps([outcome.to_dict() for outcome in outcomes], ensure_ascii=False, indent=1)
