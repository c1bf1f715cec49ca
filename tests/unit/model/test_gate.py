"""The gate: its checks one by one, the comparison with the champion, the verdict's forms."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

import tiny_model
from spotify_mlops.config.errors import UserError
from spotify_mlops.config.params import Params
from spotify_mlops.io.bigquery.tables import MODEL_METRICS
from spotify_mlops.model import bundle, gate, latency, metrics
from spotify_mlops.model.gate import Champion, Check, Verdict
from spotify_mlops.model.promotions import PromotionHistory
from spotify_mlops.model.training_result import TrainingResult


def lenient(**changes: object) -> Params:
    base = {"gate_min_accuracy": 0.3, "gate_min_macro_f1": 0.3, "gate_max_ece": 0.5}
    slow = {"gate_max_latency": timedelta(seconds=5), "gate_max_row_time": timedelta(seconds=1)}
    return tiny_model.settings().replace(**(base | slow | changes))


def checks(verdict: Verdict) -> dict[str, bool]:
    return {name_of(check): check.passed for check in verdict.checks}


def name_of(check: Check) -> str:
    return ":".join(filter(None, (check.code, check.country)))


def found_of(verdict: Verdict, name: str) -> Check:
    (found,) = (check for check in verdict.checks if name_of(check) == name)
    return found


def own() -> pl.DataFrame:
    return tiny_model.result().of("dynamics")


def champion(predictions: pl.DataFrame | None) -> Champion:
    return Champion("popularity@4", tiny_model.START, predictions)


def predicting(better: pl.Expr) -> pl.DataFrame:
    """Return the challenger's own predictions, right wherever ``better`` holds."""
    return own().with_columns(predicted=pl.when(better).then("level").otherwise("predicted"))


def test_the_gate_names_the_floor_that_is_missed() -> None:
    verdict = gate.judge(tiny_model.result(), lenient(gate_min_macro_f1=0.999))
    assert not verdict.approved and not checks(verdict)["macro_f1"]
    assert checks(verdict)["accuracy"]
    assert found_of(verdict, "macro_f1").limit == 0.999
    assert [check.code for check in verdict.failed] == ["macro_f1"]


def test_the_gate_wants_a_sure_advantage_over_persistence() -> None:
    result = tiny_model.result()
    as_persistence = result.predictions.filter(model="persistence", split="test").with_columns(
        model=pl.lit("dynamics")
    )
    rest = result.predictions.filter(
        ~((pl.col("model") == "dynamics") & (pl.col("split") == "test"))
    )
    twin = TrainingResult(**(vars(result) | {"predictions": pl.concat([rest, as_persistence])}))
    assert not checks(gate.judge(twin, lenient()))["persistence"]


def test_a_slow_model_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    for found, failing in (
        (latency.Latency(0.004, 0.00001), set()),
        (latency.Latency(0.006, 0.00001), {"latency"}),
        (latency.Latency(0.004, 0.00030), {"row_time"}),
    ):
        monkeypatch.setattr(gate, "measure", lambda graph, inputs, found=found: found)
        verdict = gate.judge(
            tiny_model.result(),
            lenient(
                gate_max_latency=timedelta(milliseconds=5),
                gate_max_row_time=timedelta(microseconds=200),
            ),
        )
        assert {name for name, passed in checks(verdict).items() if not passed} == failing
    slow = found_of(verdict, "row_time")
    assert (slow.value, slow.limit) == (pytest.approx(300), 200)


def test_latency_is_that_of_the_graph() -> None:
    result = tiny_model.result()
    found = latency.measure(result.graph, len(result.description["features"]))
    assert 0 < found.batch_row < found.one_row_p99 < 1


def test_without_a_champion_the_table_says_so() -> None:
    verdict = gate.judge(tiny_model.result(), lenient())
    assert verdict.approved
    assert found_of(verdict, "champion").not_compared == "no_champion"
    verdict = gate.judge(tiny_model.result(), lenient(), champion(None))
    assert verdict.approved
    found = found_of(verdict, "champion")
    assert (found.champion, found.not_compared) == ("popularity@4", "other_task")


def test_a_champion_that_answers_the_same_is_no_reason_to_refuse() -> None:
    verdict = gate.judge(tiny_model.result(), lenient(), champion(own()))
    found = checks(verdict)
    assert {"champion", "champion:CO", "champion:ES", "champion:US"} <= set(found)
    assert verdict.approved
    whole = found_of(verdict, "champion")
    assert (whole.value, whole.low, whole.high, whole.rows) == (0, 0, 0, own().height)


def test_a_country_that_loses_too_much_is_named() -> None:
    perfect = champion(predicting(pl.col("country") == "ES"))
    verdict = gate.judge(tiny_model.result(), lenient(), perfect)
    assert not verdict.approved and not checks(verdict)["champion:ES"]
    assert checks(verdict)["champion:CO"]
    lost = found_of(verdict, "champion:ES")
    assert lost.value is not None
    assert lost.value < lost.limit == -lenient().gate.country_regression


def test_losing_a_little_but_surely_is_losing() -> None:
    """The champion is right in a few rows more of every block: well within the margin."""
    few = pl.int_range(pl.len()) % 40 == 0
    margin = lenient(gate_country_regression=0.2)
    verdict = gate.judge(tiny_model.result(), margin, champion(predicting(few)))
    whole = found_of(verdict, "champion")
    assert whole.low is not None
    assert whole.high is not None
    assert -0.2 < whole.low <= whole.high < 0
    assert not whole.passed
    assert checks(verdict)["champion:ES"]


def test_rows_that_the_champion_has_learned_do_not_count(tmp_path: Path) -> None:
    """A champion trained further than the challenger is compared on later windows only."""
    result, params = tiny_model.result(), lenient()
    promotions = PromotionHistory(params, tmp_path)
    features = tiny_model.data()[0]
    assert gate.champion_predictions(promotions, result, features) is None
    starts = own()["window_start"].unique().sort()
    for number, (trained, left) in enumerate(
        [(starts[0], len(starts)), (starts[6], len(starts) - 6), (starts[-2], 2), (starts[-1], 1)],
        start=1,
    ):
        known = result.description | {"training_end": trained.isoformat()}
        path = replace(result, description=known).write_bundle(tmp_path / f"b{number}").path
        promotions.keep(str(number), path)
        promotions.promote(str(number), tiny_model.START)
        found = gate.champion_predictions(promotions, result, features)
        assert found is not None and found.predictions is not None
        assert found.name == f"popularity@{number}" and found.training_end == trained
        assert found.predictions["window_start"].n_unique() == left
        assert found.predictions["window_start"].min() == trained
        verdict = gate.judge(result, params, found)
        whole = found_of(verdict, "champion")
        assert whole.rows == found.predictions.height
        # Two windows are in one block of three hours: nothing can be said of them.
        assert whole.passed == (left > 2) == verdict.approved
        few = ("too_few_rows", trained) if left <= 2 else (None, None)
        assert (whole.not_compared, whole.learned_until) == few
        assert (whole.blocks is not None) == (left <= 2)


def test_a_champion_of_another_task_is_not_compared(tmp_path: Path) -> None:
    result = tiny_model.result()
    promotions = PromotionHistory(lenient(), tmp_path)
    promotions.keep("1", result.write_bundle(tmp_path / "bundle").path)
    promotions.promote("1", tiny_model.START)
    features = tiny_model.data()[0]
    other_horizon = replace(result, horizon=9)
    fewer_inputs = features.drop("momentum")
    for run, frame in ((other_horizon, features), (result, fewer_inputs)):
        found = gate.champion_predictions(promotions, run, frame)
        assert found is not None and found.predictions is None


def test_the_verdict_is_rows_of_the_metrics_table() -> None:
    result = tiny_model.result()
    verdict = gate.judge(result, lenient(gate_min_macro_f1=0.999), champion(own()))
    rows = metrics.metrics_rows(
        gate.metrics_of(verdict, result),
        run_id=result.run_id, model=lenient().model, written_at=tiny_model.START,
    )  # fmt: skip
    assert rows.columns == [field.name for field in MODEL_METRICS.schema]
    assert rows.select(MODEL_METRICS.key).is_unique().all()
    assert rows["split"].unique().to_list() == ["gate"]
    found = {(r["metric"], r["slice"]): r for r in rows.to_dicts()}
    assert found["macro_f1", "all"]["passed"] is False
    assert found["accuracy", "all"]["passed"] is True
    assert found["champion", "country:ES"]["rows"] == own().filter(country="ES").height
    assert found["approved", "all"]["value"] == 0 and not found["approved", "all"]["passed"]


def test_the_verdict_is_labels_of_the_version() -> None:
    perfect = champion(predicting(pl.col("country") == "ES"))
    verdict = gate.judge(tiny_model.result(), lenient(), perfect)
    found = gate.labels(verdict)
    assert found["gate"] == "failed" and found["gate_accuracy"].startswith("passed-0_")
    assert found["gate_champion_es"].startswith("failed-m0_")
    assert set(found) == {"gate", *(f"gate_{name}" for name in (
        "accuracy", "macro_f1", "persistence", "calibration", "latency", "row_time", "champion",
        "champion_co", "champion_es", "champion_us", "rises", "rises_baseline", "rises_champion",
    ))}  # fmt: skip
    for key, value in found.items():
        assert re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key)
        assert re.fullmatch(r"[a-z0-9_-]{1,63}", value)
    assert gate.labels(gate.judge(tiny_model.result(), lenient()))["gate_champion"] == "passed"


def test_a_bundle_says_when_its_training_ended(tmp_path: Path) -> None:
    path = tiny_model.result().write_bundle(tmp_path / "bundle").path
    assert (
        bundle.load(path).training_end.isoformat()
        == (tiny_model.result().boundaries["training_end"])
    )


def with_metric(name: str, **values: float | None) -> TrainingResult:
    """Return the run with other values of one of its model's metrics on the test range."""
    result = tiny_model.result()
    here = (
        (pl.col("model") == "dynamics")
        & (pl.col("split") == "test")
        & (pl.col("slice") == "all")
        & (pl.col("metric") == name)
    )
    changed = [
        pl.when(here).then(pl.lit(value, pl.Float64)).otherwise(column).alias(column)
        for column, value in values.items()
    ]
    return replace(result, metrics=result.metrics.with_columns(changed))


def test_the_gate_wants_rises_to_be_found_far_better_than_by_chance() -> None:
    result = tiny_model.result()
    chance = result.metrics.filter(model="chance", split="test", slice="all", metric="rise_ap")
    verdict = gate.judge(result, lenient(gate_min_rise_lift=2.0))
    asked = found_of(verdict, "rises")
    assert asked.limit == pytest.approx(2 * chance["value"].item())
    assert asked.passed == (asked.value >= asked.limit)
    strict = gate.judge(result, lenient(gate_min_rise_lift=1e6))
    assert [check.code for check in strict.failed] == ["rises"]
    assert found_of(gate.judge(result, lenient(gate_min_rise_lift=0)), "rises").passed


def test_the_gate_refuses_an_order_that_is_surely_worse_than_a_plain_one() -> None:
    worse = with_metric("rise_ap_over_momentum", value=-0.1, low=-0.2, high=-0.01)
    check = found_of(gate.judge(worse, lenient()), "rises_baseline")
    assert not check.passed and check.baseline == "momentum"
    assert (check.value, check.low, check.high) == (-0.1, -0.2, -0.01)
    unsure = with_metric("rise_ap_over_momentum", value=-0.1, low=-0.2, high=0.01)
    check = found_of(gate.judge(unsure, lenient()), "rises_baseline")
    assert check.passed and check.baseline == "momentum"


def test_where_nothing_rises_the_gate_asks_nothing_of_it() -> None:
    still = with_metric("rise_ap", value=None, low=None, high=None)
    verdict = gate.judge(still, lenient(gate_min_rise_lift=1e6))
    check = found_of(verdict, "rises")
    assert check.passed and check.not_compared == "nothing_rises" and check.value is None
    assert "rises_baseline" not in checks(verdict)


def test_the_gate_compares_the_order_of_rises_with_the_champions() -> None:
    knows = pl.when(pl.col("level") == "Alta").then(1.0).otherwise(0.0)
    oracle = own().with_columns(p_alta=knows, p_media=0.0, p_baja=1 - knows)
    check = found_of(gate.judge(tiny_model.result(), lenient(), champion(oracle)), "rises_champion")
    assert not check.passed and check.high < 0 and check.champion == "popularity@4"
    itself = found_of(gate.judge(tiny_model.result(), lenient(), champion(own())), "rises_champion")
    assert itself.passed and itself.value == 0
    backwards = own().with_columns(p_alta=1 - pl.col("p_alta"))
    better = gate.judge(tiny_model.result(), lenient(), champion(backwards))
    assert found_of(better, "rises_champion").low > 0


def test_a_run_that_did_not_measure_rises_is_to_be_trained_again() -> None:
    result = tiny_model.result()
    before = replace(result, metrics=result.metrics.filter(~pl.col("metric").str.contains("rise")))
    with pytest.raises(UserError, match="entrena otra vez"):
        gate.judge(before, lenient())
