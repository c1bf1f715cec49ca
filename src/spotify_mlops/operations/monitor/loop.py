"""One step of the loop: score what is known by now, decide, and do what was decided.

A step may run at any time and as often as one likes; cut off, it does again what it had not
written down. Only one process of a checkout takes steps at a time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from ...config.errors import UserError
from ...config.params import Params
from ...domain.features import ROW_KEY
from ...domain.schemas import PROBABILITIES
from ...domain.windows import EPOCH
from ...io import bigquery
from ...io.bigquery import appending, tables, warehouse
from ...io.local import state as local_state
from ...model import dataset, evaluate, gate, metrics, persistence
from ...model.bundle import Bundle
from ...model.endpoint import Endpoint
from ...model.predictor import Predictor
from ...model.promotions import Canary, PromotionHistory
from ...model.registry import BASELINE, Registry
from ...pipeline.predict import in_canary
from .. import takeover
from . import decisions, drift, policy, retraining, scores
from .decisions import Decision, Facts
from .policy import Comparison, Evidence, Quality, State

_LEAST_BLOCKS = 8
"""Of an interval, at ``fallback_windows``."""
_references: dict[tuple[str, str], drift.Reference | None] = {}
"""What is usual, by digest of the model and its dataset; None where there is too little of it."""


@dataclass(frozen=True)
class StepReport:
    """What a step did."""

    closed_until: datetime | None
    scored_windows: int
    state: State | None
    evidence: Evidence | None
    decisions: tuple[Decision, ...]


def step(
    params: Params,
    write_card: persistence.WriteCard,
    tell: Callable[[Decision], object] = lambda _: None,
    *,
    act: bool = True,
) -> StepReport:
    """Score, decide, act; wait first for another process that takes a step.

    Args:
        params: whose model.
        write_card: of persistence, which is registered once there is something to count.
        tell: called with what was decided, before it is done.
        act: whether what was decided is done; without it, it is only said, and nothing is
            registered.

    Raises:
        ServiceError: a service does not answer.
        GoogleAPICallError: Vertex AI or BigQuery refuse something.
    """
    with local_state.locked(f"lifecycle-{params.profile}"):
        return _Step(params, write_card, tell, act).take()


class _Step:
    def __init__(
        self,
        params: Params,
        write_card: persistence.WriteCard,
        tell: Callable[[Decision], object],
        act: bool,
    ) -> None:
        self._params = params
        self._write_card = write_card
        self._tell = tell
        self._acts = act
        self._promotions = PromotionHistory(params)
        self._registry = Registry(params)
        self._loaded: dict[str, Predictor] = {}

    def take(self) -> StepReport:
        warehouse.ensure_dataset(self._params)
        closed = dataset.read_closed_until(self._params)
        champion = self._promotions.champion()
        if closed is None or champion is None:
            return StepReport(closed, 0, None, None, ())
        scored = self._score(closed)
        log = decisions.read(self._params)
        state = State.of(log, champion)
        evidence = self._evidence(state, closed)
        if evidence is None:
            return StepReport(closed, scored, state, None, ())
        decision = policy.decide(state, evidence, self._params)
        done: list[Decision] = []
        if decision is not None:
            self._tell(decision)
        if decision is not None and self._acts:
            done = self._act(decision, closed)
            for each in done:
                decisions.write(self._params, each, datetime.now(UTC))
        return StepReport(closed, scored, State.of([*log, *done], self._champion()), evidence,
                      tuple(done))  # fmt: skip

    # What is known

    def _last_labelled(self, closed: datetime) -> datetime:
        """Return the last window whose labels are known when all before ``closed`` is closed."""
        return closed - self._params.windows.window * (self._params.model.horizon + 1)

    def _score(self, closed: datetime) -> int:
        """Write the scores of the windows that became known; return how many."""
        params = self._params
        since = scores.last_window(params, "live") or EPOCH
        rows = self._outcomes(since + timedelta(microseconds=1), closed)
        if rows.is_empty():
            return 0
        trained = {
            name: self._predictor(name.rpartition("@")[2]).bundle.training_end
            for name in rows["model"].unique()
        }
        scored = scores.score(rows, trained, params)
        lists = scores.lists(rows, self._scores_now(rows), trained, params)
        self._append(pl.concat([scored, lists]), "live")
        return scored["window_start"].n_unique()

    def _outcomes(self, since: datetime, closed: datetime) -> pl.DataFrame:
        """Return what was predicted for windows from ``since`` on, with what came true."""
        params = self._params
        predictions = bigquery.query(
            params,
            "SELECT * FROM `{dataset}.spotify_predictions` "
            "WHERE window_start >= @since AND window_start <= @last",
            since=since,
            last=self._last_labelled(closed),
        )
        return scores.joined(predictions, dataset.read_labels(params, since, closed))

    def _scores_now(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return row key and ``score_now`` of the windows of some rows."""
        first, last = dataset.bounds(rows)
        score = bigquery.score_sql(self._params.windows, "f")
        return bigquery.query(
            self._params,
            f"SELECT f.window_start, f.country, f.track_id, {score} AS score_now "
            "FROM `{dataset}.spotify_features` f "
            "WHERE f.window_start BETWEEN @first AND @last",
            first=first,
            last=last,
        )

    def _features(self, since: datetime, until: datetime) -> pl.DataFrame:
        return bigquery.query(
            self._params,
            "SELECT * FROM `{dataset}.spotify_features` "
            "WHERE window_start >= @since AND window_start < @until",
            since=since,
            until=until,
        )

    def _history(self, until: datetime) -> pl.DataFrame:
        """Return the features that a model learns from which is trained at ``until``."""
        return self._features(self._since(until), until)

    def _learnable(self, until: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the features and the labels that a model learns from which is made then."""
        known = dataset.read_labels(self._params, self._since(until), until)
        return self._history(until), known

    def _since(self, until: datetime) -> datetime:
        reach = self._params.monitor.retrain_history
        return EPOCH if reach is None else until - reach

    def _evidence(self, state: State, closed: datetime) -> Evidence | None:
        last = self._last_labelled(closed)
        champion = self._predictor(state.champion)
        if last < champion.bundle.training_end:
            return None
        baseline = self._baseline(closed)
        if state.stage != "steady":
            compared = self._comparison(state, closed)
            return Evidence(last, None, None, compared, baseline=baseline)
        if state.champion == baseline:  # it has learned nothing that could grow old
            return Evidence(last, None, None, None, baseline=baseline)
        quality, alarm = self._quality(champion, closed), self._drift(champion, closed)
        fallback = None if baseline is None else self._fallback(champion, baseline, closed)
        return Evidence(last, quality, alarm, None, fallback, baseline)

    def _baseline(self, closed: datetime) -> str | None:
        """Return the version that is persistence; register it where none is of these params."""
        version = self._registry.aliases().get(BASELINE)
        if version is not None and persistence.is_of(self._predictor(version).bundle, self._params):
            return version
        if not self._acts:
            return None
        features, known = self._learnable(closed)
        version = self._register(
            lambda folder: persistence.write_bundle(
                self._params, features, known, self._write_card, folder
            )
        )
        self._registry.mark(version, BASELINE)
        return version

    def _fallback(self, champion: Predictor, baseline: str, closed: datetime) -> Comparison | None:
        """Compare persistence with the champion on the last windows, none of them learned from."""
        params = self._params
        windows = params.monitor.fallback_windows
        since = self._last_labelled(closed) - params.windows.window * (windows - 1)
        rows = self._known(max(since, champion.bundle.training_end), closed)
        if rows.is_empty():
            return None
        # Labels of neighbouring windows look at much the same: they are drawn together.
        together = min(params.model.horizon, windows // _LEAST_BLOCKS)
        return self._less(_said(self._predictor(baseline), rows), _said(champion, rows), together)

    def _quality(self, champion: Predictor, closed: datetime) -> Quality | None:
        params = self._params
        since = self._last_labelled(closed) - params.windows.window * (params.monitor.windows - 1)
        rows = self._outcomes(max(since, champion.bundle.training_end), closed)
        rows = rows.filter(pl.col("model") == champion.name)
        if rows.is_empty():
            return None
        accuracy = float((rows["level"] == rows["predicted"]).mean())  # type: ignore[arg-type]
        floor = params.monitor.retrain_min_accuracy
        if floor is None:
            floor = _held_out(champion) - params.monitor.retrain_margin
        return Quality(rows["window_start"].n_unique(), accuracy, floor)

    def _drift(self, champion: Predictor, closed: datetime) -> drift.Alarm | None:
        params = self._params
        reference = self._reference(champion)
        windows = params.monitor.drift_windows + params.monitor.drift_patience - 1
        since = max(closed - params.windows.window * windows, champion.bundle.training_end)
        if reference is None:
            return None
        rows = self._features(since, closed)
        if rows.is_empty():
            return None
        alarms = reference.alarms(_with_predictions(champion, rows))
        self._keep(scores.drift_rows(alarms, champion.name), "drift")
        return drift.persisting(alarms, params.monitor.drift_patience)

    def _reference(self, champion: Predictor) -> drift.Reference | None:
        params = self._params
        key = (champion.bundle.digest, params.bigquery.dataset)
        if key not in _references:
            rows = self._history(champion.bundle.training_end)
            enough = rows["window_start"].n_unique() >= 4 * params.monitor.drift_windows
            _references[key] = (
                drift.Reference.fit(
                    _with_predictions(champion, rows),
                    champion.features,
                    params.monitor.drift_windows,
                    params.monitor.drift_margin,
                )
                if enough
                else None
            )
        return _references[key]

    def _comparison(self, state: State, closed: datetime) -> Comparison | None:
        """Compare the two models of a stage on what both say of the same stored features."""
        assert state.challenger is not None
        assert state.since is not None
        rows = self._known(state.since, closed)
        if state.stage == "canary":
            rows = rows.filter(in_canary(rows, self._params.promotion.canary_share))
        if rows.is_empty():
            return None
        on_probation = state.stage == "probation"
        pair = (state.challenger, state.champion)
        new, old = (
            _said(self._predictor(version), rows)
            for version in (reversed(pair) if on_probation else pair)
        )
        self._keep_shadow(old if on_probation else new, state.challenger)
        # A stage lasts a day or so: its windows are the blocks.
        return self._less(new, old, 1)

    def _known(self, since: datetime, closed: datetime) -> pl.DataFrame:
        """Return the features of windows from ``since`` on whose ``level`` is known, by key."""
        known = dataset.read_labels(self._params, since, closed)
        rows = self._features(since, self._last_labelled(closed) + self._params.windows.window)
        return rows.join(known.select(*ROW_KEY, "level"), on=ROW_KEY).sort(ROW_KEY)

    def _less(self, new: pl.DataFrame, old: pl.DataFrame, windows: int) -> Comparison:
        """Return the first less the second; so many windows are a block of the interval."""
        blocks = self._params.replace(bootstrap_block=self._params.windows.window * windows)
        difference = metrics.difference(new, old, blocks)
        return Comparison(new["window_start"].n_unique(), *difference)

    def _keep_shadow(self, said: pl.DataFrame, version: str) -> None:
        """Write down how the model did that readers do not see."""
        shadow = self._predictor(version)
        named = said.with_columns(model=pl.lit(shadow.name))
        trained = {shadow.name: shadow.bundle.training_end}
        self._keep(scores.score(named, trained, self._params), "shadow")

    def _keep(self, scored: pl.DataFrame, split: scores.Split) -> None:
        """Append the scores of windows that have none of this split yet."""
        known = scores.last_window(self._params, split)
        self._append(scored.filter(pl.col("window_start") > (known or EPOCH)), split)

    def _append(self, scored: pl.DataFrame, split: scores.Split) -> None:
        if scored.height:
            rows = scores.metric_rows(scored, self._params, datetime.now(UTC), split)
            appending.append(self._params, tables.MODEL_METRICS, rows)

    # What is done

    def _act(self, decision: Decision, closed: datetime) -> list[Decision]:
        match decision.step:
            case "retrain":
                return self._retrain(decision, closed)
            case "canary":
                canary = Canary(decision.model, self._params.promotion.canary_share)
                since = self._serve(str(decision.other), canary)
            case "promoted":
                since = self._serve(decision.model)
            case "rolled_back":
                since = self._serve(str(decision.other))
            case _:
                since = self._soon()
        return [replace(decision, effective_from=since)]

    def _soon(self) -> datetime:
        """Return the first window that can still be given to another model.

        The live job has gone on since the step began: what it has predicted meanwhile stays as
        it was, or a replay, which follows the record, would say otherwise.
        """
        closed = dataset.read_closed_until(self._params)
        assert closed is not None
        return takeover.first_window(self._params, closed)

    def _serve(self, version: str, canary: Canary | None = None) -> datetime:
        """Let a version serve as soon as it can; return from which window on."""
        since = self._soon()
        self._registry.promote(version, since, canary)
        Endpoint(self._params).serve(self._promotions.periods()[-1])
        return since

    def _retrain(self, asked: Decision, closed: datetime) -> list[Decision]:
        """Train a challenger and register it with the gate's verdict."""
        params = self._params
        try:
            features, known = self._learnable(closed)
            result = retraining.retrain(params, features, known)
        except UserError as error:
            failed = replace(asked, step="refused", reason="training_failed",
                             facts=Facts(error=str(error)))  # fmt: skip
            return [asked, failed]
        verdict = evaluate.evaluate(params, result, features)
        version = self._register(result.write_bundle, gate.labels(verdict))
        evaluate.record(params, result, verdict)
        tried = tuple(result.description["training"]["histories"])
        outcome = Decision(
            "shadow" if verdict.approved else "refused",
            asked.window_start,
            version,
            self._champion(),
            "gate_approved" if verdict.approved else "gate_refused",
            effective_from=closed,
            facts=Facts(
                checks=verdict.failed,
                history=tried[0]["history"] if tried else None,
                histories=tried,
            ),
        )
        return [asked, outcome]

    def _register(
        self, write: Callable[[Path], Bundle], labels: Mapping[str, str] | None = None
    ) -> str:
        with tempfile.TemporaryDirectory(prefix="spotify-mlops-") as folder:
            return self._registry.register(write(Path(folder) / "bundle").path, labels)

    def _champion(self) -> str:
        champion = self._promotions.champion()
        assert champion is not None
        return champion

    def _predictor(self, version: str) -> Predictor:
        if version not in self._loaded:
            self._loaded[version] = Predictor.load(self._promotions.bundle(version))
        return self._loaded[version]


def _with_predictions(predictor: Predictor, rows: pl.DataFrame) -> pl.DataFrame:
    predicted = predictor.predict(rows)["level"].alias("predicted")
    return rows.select("window_start", *predictor.features).hstack([predicted])


def _said(predictor: Predictor, rows: pl.DataFrame) -> pl.DataFrame:
    """Return what a model says of rows whose level is known, as the metrics want it."""
    predicted = predictor.predict(rows).rename({"level": "predicted"})
    return rows.select(*ROW_KEY, "level").hstack(predicted.select("predicted", *PROBABILITIES))


def _held_out(predictor: Predictor) -> float:
    """Return the accuracy that the model had on its own test range."""
    description = predictor.bundle.description
    wanted = (description["family"], "all", "accuracy")
    return next(
        float(row["value"])
        for row in description["metrics"]
        if (row["model"], row["slice"], row["metric"]) == wanted
    )
