"""The loop, whole: quality falls, a challenger is trained, proves itself and serves; or does not.

The market is the simulator's, with the features and predictions that the live job would write;
BigQuery, Vertex AI, its training job and its endpoint are real.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import worlds

from spotify_mlops.config.params import Params
from spotify_mlops.domain import features, labels
from spotify_mlops.domain.schemas import ROW_KEY
from spotify_mlops.domain.windows import Windowing
from spotify_mlops.io import bigquery
from spotify_mlops.io.bigquery import appending, tables, warehouse
from spotify_mlops.io.local import state
from spotify_mlops.model import dataset, persistence
from spotify_mlops.model.endpoint import Endpoint
from spotify_mlops.model.promotions import PromotionHistory
from spotify_mlops.model.registry import BASELINE, CHAMPION, Registry
from spotify_mlops.model.training import train
from spotify_mlops.operations.monitor import decisions, loop
from spotify_mlops.operations.monitor.decisions import Decision
from spotify_mlops.pipeline.predict import Champions
from spotify_mlops.pipeline.sinks import rows
from spotify_mlops.presentation.dashboard import queries
from spotify_mlops.presentation.es import card
from spotify_mlops.sources.simulator import Simulator

REGIME_DAY = 10.0
SETTINGS: dict[str, Any] = worlds.QUICK_LOOP | {
    "simulator_days": 20,
    "simulator_events": 120_000,
    "simulator_regime_day": REGIME_DAY,
    "duplicate_share": 0,
    "late_share": 0,
    "malformed_share": 0,
}


class Market:
    """Writes, window by window, what the live job would write."""

    def __init__(self, params: Params) -> None:
        """Draw the whole log and compute the features of all its windows."""
        self.params = params
        windowing = Windowing.of(params.windows)
        events = pl.concat(list(Simulator(params).history()))
        self.rows = features.reference(events, windowing, features.Inputs.of(params.windows))
        self.start = self.rows["window_start"].min()
        self.reached = self.start
        self.meanwhile = 0
        """Hours that the live job goes on while a step does what it decided."""
        self._champions = Champions(params)
        warehouse.ensure_dataset(params)

    def train_until(self, day: float) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the features and labels of the first days."""
        end = self.start + timedelta(days=day)
        known = self.rows.filter(pl.col("window_start") < end)
        levels = dataset.thresholds(self.params.model)
        return known, labels.label(
            known, self.params.model.horizon, Windowing.of(self.params.windows), end, levels
        )

    def live(self, until: datetime) -> None:
        """Let the live job come as far as a window."""
        fresh = self.rows.filter(
            (pl.col("window_start") >= self.reached) & (pl.col("window_start") < until)
        )
        now = datetime.now(UTC)
        written = rows.stamped(fresh, now)
        appending.append(self.params, tables.features(self.params.windows), written)
        predicted = rows.stamped(self._champions.predict(fresh), now)
        if predicted.height:
            appending.append(self.params, tables.PREDICTIONS, predicted)
        self.reached = until
        appending.append(self.params, tables.CLOSED, rows.closed_rows(until, now))

    def step(self, hours: int) -> loop.StepReport:
        """Go on for some hours and take a step of the loop."""
        self.live(self.reached + timedelta(hours=hours))

        def decided(_: Decision) -> None:
            if self.meanwhile:
                self.live(self.reached + timedelta(hours=self.meanwhile))

        return loop.step(self.params, card.write_persistence, decided)

    def predicted_as_recorded(self) -> bool:
        """Tell whether the record of promotions gives what was predicted, whenever it was made."""
        given = bigquery.query(self.params, "SELECT * FROM `{dataset}.spotify_predictions`")
        again = Champions(self.params).predict(self.rows)
        both = given.select(*ROW_KEY, "model").join(again, on=[*ROW_KEY, "model"])
        return both.height == given.height


@pytest.fixture
def market(services: dict[str, state.Record]) -> Market:
    return Market(worlds.own_params(**SETTINGS))


def promoted(market: Market, folder: Path, day: float = 8.0) -> str:
    """Train on the first days, and let the model serve what comes after."""
    result = train(market.params, *market.train_until(day), card.write)
    registry = Registry(market.params)
    version = registry.register(result.write_bundle(folder / "first").path)
    registry.promote(version, datetime.fromisoformat(result.boundaries["training_end"]))
    Endpoint(market.params).serve(PromotionHistory(market.params).periods()[-1])
    return version


def accuracy(params: Params, model: str) -> pl.DataFrame:
    """Return the live accuracy of a model by window, as the table of metrics has it."""
    return bigquery.query(
        params,
        "SELECT run_id, value FROM `{dataset}.spotify_model_metrics` WHERE split = 'live' "
        "AND slice = 'all' AND metric = 'accuracy' AND model = @model ORDER BY run_id",
        model=f"{params.model.name}@{model}",
    )


def test_quality_falls_retraining_fires_and_quality_returns(market: Market, tmp_path: Path) -> None:
    params = market.params
    first = promoted(market, tmp_path)
    taken: list[Decision] = []
    end = market.start + timedelta(days=params.simulator.days) - timedelta(hours=12)
    market.live(market.start + timedelta(days=8))
    while market.reached < end and "confirmed" not in [d.step for d in taken]:
        taken += market.step(4).decisions
    steps = [decision.step for decision in taken]
    # The first challengers know little of the new fashions, and the gate may refuse them.
    assert [step for step in steps if step not in ("retrain", "refused")] == [
        "shadow",
        "canary",
        "promoted",
        "confirmed",
    ]
    regime = market.start + timedelta(days=REGIME_DAY)
    assert taken[0].step == "retrain"
    assert taken[0].window_start >= regime - timedelta(hours=params.model.horizon)
    # What was learned from is what lost least of all that was tried, and the log says so.
    for told in (decision.facts for decision in taken if decision.step in ("shadow", "refused")):
        losses = [tried["log_loss"] for tried in told.histories]
        assert losses == sorted(losses) and len(losses) > 1
        assert told.history == told.histories[0]["history"]
    new = taken[-1].model
    assert (PromotionHistory(params).champion(), Registry(params).aliases()[CHAMPION]) == (new, new)
    assert Endpoint(params).traffic() == {new: 100}
    assert decisions.read(params) == taken
    hours = params.monitor.windows
    before, after = accuracy(params, first)["value"], accuracy(params, new)["value"]
    fallen = before.rolling_mean(hours).min()
    returned = after.tail(hours).mean()
    assert fallen < before.head(24).mean() - params.monitor.retrain_margin
    assert returned > fallen + params.monitor.retrain_margin, (
        before.head(24).mean(),
        fallen,
        returned,
    )
    assert Registry(params).labels(new)["gate"] == "passed"


def test_persistence_serves_until_a_model_beats_it(market: Market, tmp_path: Path) -> None:
    """Nobody retrains while the champion fades, until it is worse than no model at all."""
    market.params = params = market.params.replace(
        retrain_min_accuracy=0.0, drift_patience=400, fallback_windows=36
    )
    first = promoted(market, tmp_path)
    market.live(market.start + timedelta(days=REGIME_DAY + 2.5))
    taken: list[Decision] = []
    seen = [queries.extent(params).by_persistence]
    end = market.start + timedelta(days=params.simulator.days) - timedelta(hours=12)
    while market.reached < end and [d.step for d in taken].count("confirmed") < 2:
        taken += market.step(6).decisions
        seen.append(queries.extent(params).by_persistence)
    baseline = Registry(params).aliases()[BASELINE]
    assert PromotionHistory(params).bundle(baseline).description["family"] == persistence.FAMILY
    # A challenger that learned from the old fashions may be refused.
    fallen, kept, asked, *sought = taken
    assert [(each.step, each.model, each.other, each.reason) for each in (fallen, kept, asked)] == [
        ("promoted", baseline, first, "worse_than_persistence"),
        ("confirmed", baseline, first, "not_surely_worse"),
        ("retrain", baseline, None, "persistence_serves"),
    ]
    assert fallen.value is not None and fallen.facts.low is not None
    assert 0 < fallen.facts.low <= fallen.value
    steps = [each.step for each in sought if each.step not in ("retrain", "refused")]
    assert steps == ["shadow", "canary", "promoted", "confirmed"]
    assert sought[-1].other == baseline
    assert sought[-1].value is not None and sought[-1].value > 0
    # What readers were given meanwhile is what the canary did not predict: each track as it was.
    given = bigquery.query(
        params,
        "SELECT p.level, f.play_score FROM `{dataset}.spotify_predictions` AS p "
        "JOIN `{dataset}.spotify_features` AS f USING (window_start, country, track_id) "
        "WHERE p.model = @model",
        model=f"{params.model.name}@{baseline}",
    )
    levels = given.select(
        "level", now=labels.level_of("play_score", dataset.thresholds(params.model))
    )
    assert levels.height > 0
    assert levels.filter(pl.col("level") != pl.col("now")).height == 0
    # And the page says so, from then until a model serves again.
    assert [told for told, _ in itertools.groupby(seen)] == [False, True, False]


def test_a_worse_challenger_is_rolled_back(market: Market, tmp_path: Path) -> None:
    """The gate and the shadow are made blind; the live score is not."""
    market.params = params = market.params.replace(
        promotion_regression=1.0, retrain_min_accuracy=0.0
    )
    first = promoted(market, tmp_path)
    market.meanwhile = params.promotion.lead + 2
    known, truth = market.train_until(8.0)
    shuffled = truth.with_columns(pl.col("level").shuffle(seed=1))
    worse = train(params, known, shuffled, card.write).write_bundle(tmp_path / "worse")
    bad = Registry(params).register(worse.path)
    market.live(market.start + timedelta(days=8))
    closed = dataset.read_closed_until(params)
    began = Decision("shadow", closed, bad, first, "gate_approved", effective_from=closed)
    decisions.write(params, began, datetime.now(UTC))
    taken: list[Decision] = []
    traffic = []
    while market.reached < market.start + timedelta(days=REGIME_DAY + 3):
        done = market.step(4).decisions
        taken += done
        traffic += [Endpoint(params).traffic() for _ in done]
        if "rolled_back" in [decision.step for decision in done]:
            break
    assert [decision.step for decision in taken] == ["canary", "promoted", "rolled_back"]
    assert traffic == [{first: 70, bad: 30}, {bad: 100}, {first: 100}]
    assert PromotionHistory(params).champion() == Registry(params).aliases()[CHAMPION] == first
    assert market.predicted_as_recorded()
    assert taken[-1].value is not None
    assert taken[-1].value < 0
    periods = PromotionHistory(params).periods()
    assert [period.version for period in periods] == [first, first, bad, first]
    # What the canary predicted live is its share of the tracks and no more.
    period = periods[1]
    shared = bigquery.query(
        params,
        "SELECT model, COUNT(*) AS n FROM `{dataset}.spotify_predictions` "
        "WHERE window_start >= @since AND window_start < @until GROUP BY 1",
        since=period.effective_from,
        until=periods[2].effective_from,
    )
    counts = dict(shared.iter_rows())
    assert set(counts) == {f"popularity@{first}", f"popularity@{bad}"}
    assert 0.1 < counts[f"popularity@{bad}"] / sum(counts.values()) < 0.5


def test_a_step_before_anything_is_deployed_does_nothing(market: Market) -> None:
    report = loop.step(market.params, card.write_persistence)
    assert (report.scored_windows, report.decisions) == (0, ())
