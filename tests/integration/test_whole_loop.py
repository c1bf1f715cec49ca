"""The model's whole life with nothing of a harness in it: log, live job, simulator and monitor.

The simulator's fashions change while it publishes, the live job predicts, and the monitor, a
process of its own, does what it finds right. How fast anything is, is not looked at: what is
waited for is what the tables, or the monitor itself, say.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
import worlds
from test_stream import assert_audited, assert_equal_to_replay

from spotify_mlops import sources
from spotify_mlops.config.params import Params
from spotify_mlops.io import bigquery, retry
from spotify_mlops.io.local import processes, state
from spotify_mlops.model import dataset
from spotify_mlops.model.promotions import PromotionHistory
from spotify_mlops.model.registry import BASELINE, CHAMPION, Registry
from spotify_mlops.operations import apps, bounded
from spotify_mlops.operations.monitor import decisions, scores
from spotify_mlops.operations.monitor.decisions import Decision

pytestmark = pytest.mark.skipif(not os.environ.get("LOOP"), reason="half an hour: make loop-test")

PATIENCE = 1800.0
"""Seconds that anything may take: how long it takes is not looked at here."""
CLOSE = timedelta(days=7)
"""Before a change of fashions: where the loop has not answered the last one, time slows down."""
SLOWER = 10
SETTINGS: dict[str, Any] = worlds.QUICK_LOOP | {
    "simulator_days": 8,
    "simulator_events": 48_000,
    "live_clock": 7_200,
    "live_duration": "60d",
    "model_iterations": 40,
    # The monitor is as fast as the machine, and a window takes half a second.
    "promotion_lead": 24,
}
# Nobody retrains while the champion fades, until it is worse than no model at all.
FADING = {"retrain_min_accuracy": 0.0, "drift_patience": 400, "fallback_windows": 36}
TRIALS: list[tuple[int, list[float], dict[str, Any], bool]] = [
    (7, [9], {}, False),
    (11, [0, 9], FADING, True),  # from a market of fashions, which a model knows, to one at rest
    (23, [9, 39], {"drift_patience": 400}, False),
]
"""Seed, days on which fashions change, what is set besides, and whether persistence must serve."""


@dataclass
class Loop:
    """What runs: the live job, the simulator and the monitor."""

    params: Params
    monitor: subprocess.Popen[bytes]
    said: Path
    """A line for each step of the monitor."""

    def reports(self) -> list[dict[str, Any]]:
        """Return what the monitor said of each step, oldest first."""
        lines = self.said.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def until(self, holds: Callable[[list[dict[str, Any]]], bool]) -> None:
        """Wait until the monitor's reports are as wanted."""

        def check() -> bool:
            for name in (apps.STREAM, apps.SIMULATOR):
                record = state.get(name)
                assert record is not None and processes.is_alive(record), processes.tail(record.log)
            assert self.monitor.poll() is None, self.said.read_text()[-2000:]
            return holds(self.reports())

        assert retry.until(check, bool, PATIENCE), self.said.read_text()[-2000:]

    def settles(self, since: datetime, deadline: datetime) -> None:
        """Wait until a model that was trained after a window is the confirmed champion.

        And until the monitor has compared it with persistence, without going back to that.

        Args:
            since: start of the window.
            deadline: before it, simulated time slows down, so that the loop comes first.
        """
        slowed = False

        def holds(reports: list[dict[str, Any]]) -> bool:
            nonlocal slowed
            if not reports:
                return False
            closed = dataset.read_closed_until(self.params)
            assert closed is not None and closed < deadline
            if not slowed and closed >= deadline - CLOSE:
                slower = self.params.simulator.live_clock / SLOWER
                apps.start_simulator(self.params.replace(live_clock=slower))
                slowed = True
            return self._at_rest(reports[-1], since)

        self.until(holds)
        if slowed:
            apps.start_simulator(self.params)

    def _at_rest(self, report: dict[str, Any], since: datetime) -> bool:
        """Tell whether a model that was asked for since a window serves, and is no worse."""
        compared = report["evidence"] and report["evidence"]["fallback"]
        if report["state"]["stage"] != "steady" or compared is None:
            return False
        champion = PromotionHistory(self.params).bundle(report["state"]["champion"])
        return champion.training_end > since and compared["low"] <= 0


@contextmanager
def running(settings: Params, folder: Path) -> Iterator[Loop]:
    """A history, its champion by the commands that there are, and then all that goes on."""
    sources.ingest_simulator(settings)
    bounded.run(settings)
    for command in ("train", "evaluate", "release"):
        done = worlds.command(settings, command)
        assert done.returncode == 0, done.stderr
    try:
        apps.start_stream(settings)
        apps.start_simulator(settings)
        file = str(apps.params_file(settings))
        argv = ["-m", "spotify_mlops", "monitor", "--every", "1", "--json", "--params", file]
        with (folder / "said").open("wb") as said, (folder / "errors").open("wb") as errors:
            monitor = subprocess.Popen([sys.executable, *argv], stdout=said, stderr=errors)
        try:
            yield Loop(settings, monitor, folder / "said")
        finally:
            monitor.terminate()
            assert monitor.wait(PATIENCE) == 0, (folder / "errors").read_text()
    finally:
        apps.stop_apps()


def accuracy(params: Params, first: datetime, hours: int) -> float:
    """Return the live accuracy of what readers were given in so many windows."""
    last = first + timedelta(hours=hours - 1)
    found = bigquery.query(
        params,
        "SELECT SUM(value * `rows`) / SUM(`rows`) FROM `{dataset}.spotify_model_metrics` "
        "WHERE split = 'live' AND slice = 'all' AND metric = 'accuracy' "
        "AND run_id BETWEEN @first AND @last",
        first=f"{first:{scores.run_id('live')}}",
        last=f"{last:{scores.run_id('live')}}",
    )
    return float(found.item())


def assert_answered(params: Params, change: datetime, log: list[Decision]) -> None:
    """Quality fell when fashions changed; retrainings said what they tried; one of them serves.

    Args:
        params: of the loop.
        change: when fashions changed.
        log: what was decided from then until the next change.
    """
    before = accuracy(params, change - timedelta(hours=24 + params.model.horizon), 24)
    # Most plays follow what was sought most of a day earlier, and nothing that is decided of it
    # takes effect within a day.
    after = accuracy(params, change + timedelta(hours=12), 12)
    assert after < before - params.monitor.retrain_margin, (before, after)
    trained = [each for each in log if each.reason in ("gate_approved", "gate_refused")]
    assert len(trained) == len([each for each in log if each.step == "retrain"]) > 0
    for each in trained:
        tried = each.facts.histories
        losses = [found["log_loss"] for found in tried]
        assert losses == sorted(losses) and len(losses) > 1
        assert {found["history"] for found in tried} <= set(params.monitor.retrain_histories)
        assert each.facts.history == tried[0]["history"]
    approved = {each.model for each in trained if each.reason == "gate_approved"}
    assert approved & {each.model for each in log if each.reason == "worth_promoting"}
    assert approved & {each.model for each in log if each.step == "confirmed"}


def assert_persistence_served(params: Params, log: list[Decision]) -> None:
    """Persistence took over from a champion that was surely worse, until a model beat it."""
    fell = next(each for each in log if each.reason == "worse_than_persistence")
    baseline = Registry(params).aliases()[BASELINE]
    assert fell.model == baseline and fell.facts.low is not None and fell.facts.low > 0
    assert fell.facts.windows == params.monitor.fallback_windows
    assert "persistence_serves" in [each.reason for each in log[log.index(fell) :]]
    returned = [each for each in log if each.reason == "worth_promoting"][-1]
    assert returned.other == baseline and returned.value is not None and returned.value >= 0
    given = bigquery.query(
        params,
        "SELECT COUNT(*) FROM `{dataset}.spotify_predictions` WHERE model = @model",
        model=f"{params.model.name}@{baseline}",
    )
    assert given.item() > 0


@pytest.mark.parametrize(
    ("seed", "days", "besides", "falls_back"), TRIALS, ids=[f"seed{trial[0]}" for trial in TRIALS]
)
def test_the_loop_answers_each_change_of_fashions(
    services: dict[str, state.Record],
    seed: int,
    days: list[float],
    besides: dict[str, Any],
    falls_back: bool,
    tmp_path: Path,
) -> None:
    own = {"simulator_seed": seed, "simulator_regime_day": days}
    params = worlds.own_params(**(SETTINGS | own | besides))
    start = datetime.combine(params.simulator.start, time(), UTC)
    changes = [start + timedelta(days=day) for day in days if day > params.simulator.days]
    following = [*changes[1:], start + timedelta(days=365)]
    with running(params, tmp_path) as loop:
        for change, then in zip(changes, following, strict=True):
            loop.settles(change, then)
    log = decisions.read(params)
    said = [each for report in loop.reports() for each in report["decisions"]]
    assert [each.step for each in log] == [each["step"] for each in said]
    # What is decided at a window was learned from labels of later ones.
    aware = timedelta(hours=params.model.horizon)
    for change, then in zip(changes, following, strict=True):
        mine = [each for each in log if change - aware <= each.window_start < then - aware]
        assert_answered(params, change, mine)
    if falls_back:
        assert_persistence_served(params, mine)
    champion = PromotionHistory(params).champion()
    assert champion == loop.reports()[-1]["state"]["champion"]
    assert champion == Registry(params).aliases()[CHAMPION]
    worlds.catch_up(params)
    assert_audited(params)
    assert_equal_to_replay(params)
