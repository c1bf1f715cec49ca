"""The notebook that deploys, killed again and again and resumed by the same command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import lenient
from spotify_mlops import sources
from spotify_mlops.config import params
from spotify_mlops.config.errors import IntegrityError
from spotify_mlops.config.params import Params
from spotify_mlops.config.progress import Progress, silent
from spotify_mlops.io.local import processes, state
from spotify_mlops.model import dataset, gate, runs
from spotify_mlops.model.promotions import PromotionHistory
from spotify_mlops.model.training import train
from spotify_mlops.model.training_result import TrainingResult
from spotify_mlops.operations import apps, bounded
from spotify_mlops.presentation.es import card

from . import contents
from .campaign import Outcome
from .log import SHORT

_OWN = ("append_time", "topic")
"""Each deployment has a topic of its own, to which its simulator publishes the same."""
_SECONDS = 600.0
"""How long a deployment may take, and the live part after it."""


@dataclass(frozen=True)
class Kill:
    """When the run of the notebook is killed.

    Attributes:
        promoted: wait until the champion is recorded first.
        delay: seconds after that, or after the start.
    """

    promoted: bool
    delay: float


class Deployments:
    """Deploys one model from one history, undisturbed and with kills, and compares."""

    def __init__(self, folder: Path, say: Progress = silent) -> None:
        """Keep logs in ``folder``, which must exist."""
        self._folder = folder
        self._say = say
        self._result: TrainingResult | None = None
        self._reference: dict[str, contents.Content] = {}

    def undisturbed(self) -> Outcome:
        """Deploy without a fault: what the others are compared with."""
        outcome, self._reference = self._deploy("deployment", [])
        return outcome

    def disturbed(self, name: str, kills: Sequence[Kill]) -> Outcome:
        """Deploy with kills and compare."""
        outcome, found = self._deploy(name, kills)
        outcome.differences += contents.differences(self._reference, found)
        return outcome

    def _deploy(
        self, name: str, kills: Sequence[Kill]
    ) -> tuple[Outcome, dict[str, contents.Content]]:
        began = time.monotonic()
        settings = self._prepare()
        outcome = Outcome(name)
        try:
            for kill in kills:
                outcome.faults.append(
                    {"what": "notebook", "delay": kill.delay, "promoted": kill.promoted}
                    | {"done": self._notebook(settings, kill, outcome.exits)}
                )
                self._say(f"{name}: notebook {kill}")
            self._notebook(settings, None, outcome.exits)
            self._to_the_end(settings)
        finally:
            apps.stop_apps()
        found = contents.read(settings)
        outcome.differences += contents.faults(settings)
        outcome.contents = contents.summary(found)
        outcome.seconds = round(time.monotonic() - began, 1)
        return outcome, {
            what: contents.Content.of(content.rows.drop(_OWN, strict=False))
            for what, content in found.items()
        }

    def _prepare(self) -> Params:
        """Fill a history and put the trained and approved model where the notebook looks."""
        unique = f"chaos-{uuid.uuid4().hex[:8]}"
        own = {"profile": unique, "topic": unique, "dataset": unique.replace("-", "_")}
        others = {"mongo_database": own["dataset"], "live_clock": 2_000, "idle_timeout": "10m"}
        settings = params.load("local", **(own | SHORT | others | lenient.GATE))
        sources.ingest_simulator(settings)
        bounded.run(settings)
        if self._result is None:
            self._result = train(settings, *dataset.read(settings), card.write)
        folder = self._result.save(runs.runs_folder(settings))
        runs.save_verdict(gate.judge(self._result, settings, None), folder)
        return settings

    def _notebook(self, settings: Params, kill: Kill | None, exits: list[int]) -> bool:
        """Run the notebook, or kill its run; tell whether it was running then."""
        file = apps.params_file(settings)
        command = ["notebooks", "--only", "6", "--params", str(file)]
        log = self._folder / f"{settings.profile}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "spotify_mlops", *command],
                stdout=output,
                stderr=output,
                env=os.environ.copy(),
                start_new_session=True,
            )
        running = True
        if kill is not None:
            promoted = PromotionHistory(settings).champion
            if kill.promoted:
                _wait_until(lambda: promoted() is not None or process.poll() is not None, 0.02)
            try:
                process.wait(kill.delay)
                running = False
            except subprocess.TimeoutExpired:
                process.kill()
        exits.append(process.wait(_SECONDS))
        if running and kill is None and exits[-1]:
            raise IntegrityError(f"El cuaderno 06 no acaba.\n{processes.tail(log)}")
        return running

    def _to_the_end(self, settings: Params) -> None:
        """Wait until the simulator has published all and the job has answered for it."""
        _wait_until(lambda: not _runs(apps.SIMULATOR))
        apps.stop_apps()
        file = apps.params_file(settings)
        command = ["stream", "--until-caught-up", "--params", str(file)]
        subprocess.run([sys.executable, "-m", "spotify_mlops", *command], check=True)


def _runs(name: str) -> bool:
    record = state.get(name)
    return record is not None and processes.is_alive(record)


def _wait_until(condition: Callable[[], Any], interval: float = 0.2) -> None:
    deadline, pause = time.monotonic() + _SECONDS, Event()
    while not condition():
        if time.monotonic() > deadline:
            raise IntegrityError("El despliegue no avanza.")
        pause.wait(interval)
