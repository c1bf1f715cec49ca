"""Training, export, bundle, registry, gate, and the looks into the model."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy.special import softmax

import tiny_model
from spotify_mlops.config.errors import InputError, IntegrityError, ParamsError
from spotify_mlops.config.estimators import BOOSTING, TUNABLE
from spotify_mlops.domain.features import Inputs
from spotify_mlops.domain.labels import LEVELS
from spotify_mlops.domain.schemas import OUTPUT_SCHEMA
from spotify_mlops.model import (
    bundle,
    candidates,
    dataset,
    diagnostics,
    effects,
    export,
    looks,
    metrics,
    runtime,
    weaknesses,
)
from spotify_mlops.model.calibration import Calibration
from spotify_mlops.model.learner import Hyperparameters, LevelModel, fit
from spotify_mlops.model.predictor import Predictor
from spotify_mlops.model.training import FAMILY_OF, train
from spotify_mlops.model.training_result import TrainingResult
from spotify_mlops.presentation.es import card
from spotify_mlops.presentation.es.names import ESTIMATOR_NAMES, HYPERPARAMETER_NAMES
from spotify_mlops.presentation.narrative import modeling

PARAMS = tiny_model.settings()


def ranges() -> dataset.Split:
    return dataset.split(dataset.join(*tiny_model.data(), PARAMS.model), PARAMS)


def value(model: str, metric: str, split: str = "test") -> float:
    return (
        tiny_model.result()
        .metrics.filter(model=model, split=split, slice="all", metric=metric)["value"]
        .item()
    )


@pytest.fixture(scope="module")
def bundle_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.result().write_bundle(tmp_path_factory.mktemp("models") / "bundle").path


# --- training ---------------------------------------------------------------------------------


def test_every_model_predicts_the_same_rows() -> None:
    result = tiny_model.result()
    keys = ["window_start", "country", "track_id", "level"]
    expected = ranges().test.select(keys)
    for model in FAMILY_OF:
        predictions = result.of(model)
        assert_frame_equal(predictions.select(keys), expected)
        total = predictions.select(pl.sum_horizontal(metrics.PROBABILITIES)).to_series()
        assert np.allclose(total, 1)
    assert result.of("dynamics", "validation").height == ranges().validation.height


def test_models_rank_as_the_world_was_made() -> None:
    """Strengths wander slowly: history helps, and hour and country alone say little."""
    assert value("dynamics", "macro_f1") > value("seed", "macro_f1") + 0.1
    assert value("dynamics", "macro_f1") > value("majority", "macro_f1") + 0.2
    assert value("dynamics", "log_loss") < value("persistence", "log_loss")
    assert value("logistic", "macro_f1") > value("majority", "macro_f1")


def test_training_again_gives_the_same_model() -> None:
    again = train(PARAMS, *(frame[::-1] for frame in tiny_model.data()), card.write)
    assert again.graph == tiny_model.result().graph
    assert again.predictions.equals(tiny_model.result().predictions)
    assert again.description["data_sha256"] == tiny_model.result().description["data_sha256"]


def test_nothing_of_the_test_range_reaches_the_model() -> None:
    """With other levels in the test range the model comes out the same."""
    features, labels = tiny_model.data()
    later = pl.col("label_window") >= ranges().test_start
    turned = pl.col("level").replace({"Alta": "Baja", "Baja": "Alta"})
    changed = labels.with_columns(level=pl.when(later).then(turned).otherwise("level"))
    assert not changed.equals(labels)
    assert train(PARAMS, features, changed, card.write).graph == tiny_model.result().graph


def test_the_card_counts_the_other_models_that_were_measured_on_the_test_range(
    tmp_path: Path,
) -> None:
    result = tiny_model.result()
    assert result.description["training"]["earlier_looks"] == 0
    assert "ningún otro modelo" in result.card
    result.save(tmp_path)
    replace(result, run_id="again").save(tmp_path)  # the same model
    assert looks.earlier(tmp_path, result.boundaries, result.graph) == 0
    assert looks.earlier(tmp_path, result.boundaries, b"another") == 1
    later = result.boundaries | {
        "test_start": result.boundaries["test_end"],
        "test_end": "2030-01-01T00:00:00+00:00",
    }
    assert looks.earlier(tmp_path, later, b"another") == 0
    (tmp_path / "killed" / "bundle").mkdir(parents=True)  # while it was saved
    assert looks.earlier(tmp_path, result.boundaries, b"another") == 1
    training = result.description["training"] | {"earlier_looks": 2}
    written = card.write(PARAMS, result.description | {"training": training}, result.metrics)
    assert "Con ella ya se habían medido otros 2 modelos aquí" in written


def test_a_run_is_saved_and_read_whole(tmp_path: Path) -> None:
    result = tiny_model.result()
    result.save(tmp_path)
    loaded = TrainingResult.load(tmp_path)
    for name in ("candidates", "predictions", "metrics"):
        assert_frame_equal(getattr(loaded, name), getattr(result, name))
    for name in ("run_id", "family", "boundaries", "description", "card", "graph", "timings"):
        assert getattr(loaded, name) == getattr(result, name)
    with pytest.raises(InputError, match="cuaderno 04"):
        TrainingResult.load(tmp_path, "another")


def test_the_seed_family_can_be_the_model(tmp_path: Path) -> None:
    params = PARAMS.replace(family="seed")
    result = train(params, *tiny_model.data(), card.write)
    predictor = Predictor.load(result.write_bundle(tmp_path / "1").path)
    assert predictor.features == Inputs.of(params.windows).names("seed")
    predicted = predictor.predict(ranges().test)
    assert predicted["level"].to_list() == result.of("seed")["predicted"].to_list()


# --- learner, calibration, export -------------------------------------------------------------


def small_problem(rows: int = 600) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    x = random.normal(size=(rows, 4))
    # Neighbouring doubles that are one float32: a graph in single precision mixes them up.
    x[:, 1] = np.where(x[:, 1] > 0, 0.1 + 1e-12, 0.1)
    y = np.digitize(x[:, 0] + (x[:, 1] > 0.1) + random.normal(0, 0.3, rows), [0.0, 1.0])
    return x, y


def small_model(members: int = 2) -> LevelModel:
    settings = Hyperparameters(max_iter=12, min_samples_leaf=10, members=members)
    return LevelModel(
        fit(*small_problem(), settings, 1).members,
        Calibration(1.2, (0, 0.1, -0.2)),
        (0.1, 0.4, 0.0),
    )


@pytest.mark.parametrize("members", [1, 3])
def test_the_graph_is_the_model(members: int) -> None:
    model = small_model(members)
    x, _ = small_problem(5000)
    assert export.check(model, export.to_onnx(model, 4), x) <= 5.1e-7  # the rounding


@pytest.mark.parametrize(
    "change", [{"calibration": Calibration(1.2, (0, 0.1, 0.5))}, {"offsets": (0.0, 0.0, 0.0)}]
)
def test_a_graph_of_another_model_is_refused(change: dict[str, Any]) -> None:
    other = replace(small_model(), **change)
    with pytest.raises(IntegrityError, match="no es el entrenado"):
        export.check(small_model(), export.to_onnx(other, 4), small_problem()[0])


def test_a_tree_without_splits_is_exported() -> None:
    x, y = small_problem()
    flat = np.zeros_like(x)
    model = fit(flat, y, Hyperparameters(max_iter=3), 1)
    assert export.check(model, export.to_onnx(model, 4), x) <= 5.1e-7


def test_a_row_gets_the_same_bits_in_any_batch() -> None:
    session = runtime.session(export.to_onnx(small_model(), 4).SerializeToString())
    x, _ = small_problem(997)
    whole = session.run(runtime.OUTPUTS, {runtime.INPUT: x})
    for size in (1, 2, 7, 64, 500):
        parts = [
            session.run(runtime.OUTPUTS, {runtime.INPUT: x[i : i + size]})
            for i in range(0, len(x), size)
        ]
        for i, expected in enumerate(whole):
            assert (np.concatenate([part[i] for part in parts]) == expected).all()


PLAIN = sorted(TUNABLE.keys() - {BOOSTING})


def plain_model(estimator: str) -> LevelModel:
    known = {"min_samples_leaf": 10, "n_estimators": 12}
    values = {name: value for name, value in known.items() if name in TUNABLE[estimator]}
    fitted = fit(*small_problem(), candidates.Classifier(estimator, values), 1)
    return replace(small_model(), members=fitted.members)


@pytest.mark.parametrize("estimator", PLAIN)
def test_the_graph_of_another_classifier_is_that_classifier(estimator: str) -> None:
    model = plain_model(estimator)
    x, _ = small_problem(5000)
    graph = export.to_onnx(model, 4)
    assert export.check(model, graph, x) <= 5.1e-7  # the rounding
    alone = plain_model(PLAIN[0] if estimator != PLAIN[0] else PLAIN[-1])
    with pytest.raises(IntegrityError, match="no es el entrenado"):
        export.check(alone, graph, x)
    run = runtime.session(graph.SerializeToString()).run
    whole = run(runtime.OUTPUTS, {runtime.INPUT: x})
    one_by_one = [run(runtime.OUTPUTS, {runtime.INPUT: row[None]}) for row in x[:200]]
    for i, expected in enumerate(whole):
        assert (np.concatenate([part[i] for part in one_by_one]) == expected[:200]).all()


def test_a_tree_compares_single_precision_as_scikit_learn_does() -> None:
    """Two doubles that are one float32 go the same way in these trees, and so in the graph."""
    x = np.array([[0.1], [0.1 + 1e-12], [0.2], [0.3]])
    near = np.repeat(x, 10, axis=0)
    y = np.repeat([0, 1, 2, 2], 10)
    model = fit(near, y, candidates.Classifier("DecisionTreeClassifier", {}), 1)
    assert (model.predict(x)[0] == model.predict(x)[1]) and model.predict(x)[2] == 2
    assert export.check(model, export.to_onnx(model, 1), x) <= 5.1e-7


@pytest.mark.parametrize("estimator", sorted(TUNABLE))
def test_what_may_be_chosen_of_a_classifier_is_scikit_learns(estimator: str) -> None:
    member = (
        Hyperparameters().member(1)
        if estimator == BOOSTING
        else candidates.Classifier(estimator, {}).member(1)
    )
    last = member[-1] if estimator == "LogisticRegression" else member
    assert type(last).__name__ == estimator
    assert TUNABLE[estimator] <= last.get_params().keys()
    assert set(ESTIMATOR_NAMES) == set(TUNABLE)
    assert TUNABLE[estimator] <= HYPERPARAMETER_NAMES.keys()


def test_a_grid_is_all_its_combinations() -> None:
    model = PARAMS.replace(
        model_grid={"max_leaf_nodes": [7, None], "learning_rate": [0.2, 0.3]}
    ).model
    found = candidates.grid("dynamics", 5_000, model)
    assert [(s.learning_rate, s.max_leaf_nodes) for s in found] == [
        (0.2, 7), (0.2, None), (0.3, 7), (0.3, None)
    ]  # fmt: skip
    assert {s.max_iter for s in found} == {model.iterations}
    # It is about the family that goes on: the other stays as it was.
    assert candidates.grid("seed", 5_000, model) == candidates.grid("seed", 5_000, PARAMS.model)
    forest = PARAMS.replace(
        model_estimator="RandomForestClassifier", model_grid={"min_samples_leaf": [3]}
    ).model
    (only,) = candidates.grid("dynamics", 5_000, forest)
    assert only.named() == {"estimator": "RandomForestClassifier", "min_samples_leaf": 3}


@pytest.mark.parametrize(
    ("estimator", "grid"),
    [("LogisticRegression", {"C": [0.01, 1]}), ("ExtraTreesClassifier", {"n_estimators": [8]})],
)
def test_another_classifier_goes_all_the_way(
    tmp_path: Path, estimator: str, grid: dict[str, list[float]]
) -> None:
    params = PARAMS.replace(model_estimator=estimator, model_grid=grid)
    result = train(params, *tiny_model.data(), card.write)
    tried = result.candidates.filter(family="dynamics")
    assert set(tried["estimator"]) == {estimator} and tried["chosen"].sum() == 1
    assert tried.filter("chosen")["log_loss"].item() == tried["log_loss"].min()
    (name,) = grid
    assert sorted(tried[name]) == sorted(grid[name])
    predictor = Predictor.load(result.write_bundle(tmp_path / "1").path)
    predicted = predictor.predict(ranges().test)
    assert predicted["level"].to_list() == result.of("dynamics")["predicted"].to_list()
    assert result.test_scores()["macro_f1"] > value("majority", "macro_f1") + 0.2
    assert ESTIMATOR_NAMES[estimator] in result.card
    # What it is compared with is what it was.
    assert result.of("seed").equals(tiny_model.result().of("seed"))
    shown = modeling.candidates_table(result)
    assert {row[1] for row in shown.rows} == {estimator, BOOSTING}


def test_a_value_that_scikit_learn_refuses_is_told() -> None:
    params = PARAMS.replace(model_grid={"max_leaf_nodes": [-1]})
    with pytest.raises(ParamsError, match=r"«model_grid».*max_leaf_nodes"):
        train(params, *tiny_model.data(), card.write)


def test_stopping_is_training_for_less() -> None:
    x, y = small_problem()
    long = Hyperparameters(max_iter=300, min_samples_leaf=10)
    stopped = long.member(3, stopping=True).fit(x[::2], y[::2], X_val=x[1::2], y_val=y[1::2])
    losses = -stopped.validation_score_
    assert stopped.n_iter_ < 300
    assert losses[-stopped.n_iter_no_change :].min() >= losses.min()
    short = replace(long, max_iter=stopped.n_iter_).member(3).fit(x[::2], y[::2])
    assert (stopped.decision_function(x) == short.decision_function(x)).all()


def test_calibration_undoes_a_distortion() -> None:
    random = np.random.default_rng(2)
    honest = random.normal(0, 1.5, (20_000, 3))
    y = np.array([random.choice(3, p=p) for p in softmax(honest, axis=1)])
    distorted = (honest - [0.0, 0.5, -0.4]) * 2.5
    found = Calibration.fit(distorted, y)
    assert found.slope == pytest.approx(0.4, rel=0.1)
    assert np.abs(softmax(found.apply(distorted), axis=1) - softmax(honest, axis=1)).mean() < 0.02
    assert (Calibration.identity().apply(honest) == honest).all()


# --- bundle and predictor ---------------------------------------------------------------------


def test_the_bundle_says_what_it_is(bundle_dir: Path) -> None:
    loaded = bundle.load(bundle_dir)
    described = loaded.description
    assert described["horizon"] == 2 and described["lags"] == [1, 2]
    assert described["window"] == "1h" and described["levels"] == list(LEVELS)
    assert loaded.training_end == ranges().training_end
    assert loaded.features == dataset.inputs("dynamics", PARAMS.windows, ranges().train)
    assert any(m["model"] == "dynamics" and m["metric"] == "macro_f1" for m in described["metrics"])
    assert (bundle_dir / bundle.CARD).read_text(encoding="utf-8") == tiny_model.result().card


@pytest.mark.parametrize("name", [bundle.GRAPH, bundle.CARD, bundle.DESCRIPTION])
def test_a_changed_file_is_refused(bundle_dir: Path, tmp_path: Path, name: str) -> None:
    for file in bundle_dir.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    changed = (tmp_path / name).read_bytes().replace(b"1", b"2", 1)
    (tmp_path / name).write_bytes(changed)
    with pytest.raises(IntegrityError, match=name):
        Predictor.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises((IntegrityError, InputError), match=name):
        Predictor.load(tmp_path)


def test_a_folder_that_is_no_bundle_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no es un modelo"):
        bundle.load(tmp_path)


def test_predictions_equal_the_run(bundle_dir: Path) -> None:
    predictor = Predictor.load(bundle_dir)
    rows = ranges().test
    predicted = predictor.predict(rows)
    expected = tiny_model.result().of("dynamics")
    assert dict(predicted.schema) == OUTPUT_SCHEMA
    assert predicted["level"].to_list() == expected["predicted"].to_list()
    for name in metrics.PROBABILITIES:
        assert np.allclose(predicted[name], expected[name], rtol=0, atol=1e-6)
    assert_frame_equal(predictor.predict(rows[::-1]), predicted[::-1], check_exact=True)
    assert predictor.name == "popularity@candidate"
    assert dict(predictor.predict(rows.clear()).schema) == OUTPUT_SCHEMA


def test_nulls_are_not_predicted(bundle_dir: Path) -> None:
    rows = ranges().test.head(2).with_columns(momentum=pl.lit(None, pl.Float64))
    with pytest.raises(ValueError, match="null"):
        Predictor.load(bundle_dir).predict(rows)


# --- looks into the model ---------------------------------------------------------------------


def test_learning_curve_grows_from_little_data() -> None:
    curve = diagnostics.learning_curve(ranges(), PARAMS, (0.05, 1.0)).sort("rows")
    assert set(curve["family"]) == {"seed", "dynamics"}
    for family in ("seed", "dynamics"):
        assert curve.filter(family=family)["rows"][-1] == ranges().train.height
    # What a track did lately says it all in this world, even to a few rows.
    seed = curve.filter(family="seed")["macro_f1"]
    assert seed[-1] > seed[0] + 0.02


def test_an_added_input_is_worth_what_it_tells() -> None:
    """One that is the answer is worth much, one of chance nothing; the test range is not read."""
    split = replace(ranges(), test=pl.DataFrame())
    random = np.random.default_rng(1).random
    codes = {level: index for index, level in enumerate(LEVELS)}
    answer = pl.col("level").replace_strict(codes)
    noise = pl.col("plays").map_batches(lambda column: pl.Series(random(len(column))))
    found = {
        name: {
            row["name"]: row for row in diagnostics.added_input(split, input_, PARAMS).to_dicts()
        }
        for name, input_ in (("answer", answer), ("noise", noise))
    }
    assert found["answer"]["with"]["value"] == pytest.approx(1)
    assert found["answer"]["difference"]["low"] > 0
    assert found["noise"]["difference"]["low"] <= 0.01
    assert found["noise"]["without"] == found["answer"]["without"]
    gain = found["answer"]["with"]["value"] - found["answer"]["without"]["value"]
    assert found["answer"]["difference"]["value"] == pytest.approx(gain)


def test_importance_finds_what_matters(bundle_dir: Path) -> None:
    predictor = Predictor.load(bundle_dir)
    groups = diagnostics.input_groups(predictor.features)
    assert sorted(chain(*groups.values())) == sorted(predictor.features)
    table = diagnostics.permutation_importance(
        predictor, ranges().test, PARAMS.model, groups=groups, repeats=3
    )
    assert table["value"].is_sorted(descending=True)
    assert "hour" not in table["name"].head(2).to_list()
    assert (table["low"] <= table["high"]).all()


def test_raw_shares_are_shares() -> None:
    rows = ranges().test
    table = effects.by_country(rows, PARAMS)
    assert np.allclose(table.group_by("x").agg(pl.col("value").sum())["value"], 1)
    share = (rows.filter(country="ES")["level"] == "Alta").mean()
    row = table.filter(x="ES", level="Alta").row(0, named=True)
    assert row["value"] == pytest.approx(share) and row["low"] <= share <= row["high"]
    assert effects.by_hour(rows, PARAMS)["x"].is_sorted()
    types = effects.by_event_type(rows, PARAMS)
    assert types["x"].unique().sort().to_list() == ["play", "search_result"]
    searched = types.filter(x="search_result")["rows"][0]
    assert searched == rows.filter(pl.col("searches") > 0).height


def test_partial_dependence_moves_only_what_it_sets(bundle_dir: Path) -> None:
    predictor = Predictor.load(bundle_dir)
    rows = ranges().test
    asked = effects.countries(["CO", "ES", "US", "BR"], ["CO", "ES", "MX", "US"])
    assert list(asked) == ["CO", "ES", "US"]
    table = effects.partial_dependence(predictor, rows, asked, PARAMS, most=10**6)
    changed = rows.with_columns(country_CO=pl.lit(0.0), country_ES=pl.lit(1.0),
                                country_US=pl.lit(0.0))  # fmt: skip
    expected = predictor.predict(changed)["p_alta"].mean()
    assert table.filter(x="ES", level="Alta")["value"].item() == pytest.approx(expected)
    hours = effects.partial_dependence(predictor, rows, effects.hours(rows), PARAMS)
    searches = effects.partial_dependence(predictor, rows, effects.search_shares(), PARAMS)
    assert effects.spread(hours) >= 0 and searches["x"].dtype == pl.Float64
    assert np.allclose(searches.group_by("x").agg(pl.col("value").sum())["value"], 1, atol=1e-5)


def test_the_description_is_plain_json(bundle_dir: Path) -> None:
    text = (bundle_dir / bundle.DESCRIPTION).read_text(encoding="utf-8")
    assert json.loads(text)["training"]["boundaries"]["test_rows"] == str(ranges().test.height)


# --- what it cannot do ------------------------------------------------------------------------


def test_weak_groups_are_the_rows_that_they_say() -> None:
    own = tiny_model.result().of("dynamics")
    split = ranges()
    # Tracks that were there in training are taken from it: in the test range they are new.
    gone = split.development.filter(~pl.col("track_id").is_in(["t3", "t4"]))
    late = split.test.with_columns(
        lags_present=pl.when(pl.col("track_id") == "t5").then(0.0).otherwise("lags_present")
    )
    found = weaknesses.score(own, replace(split, development=gone, test=late), PARAMS)
    rows = dict(found.filter(metric="macro_f1").select("slice", "rows").iter_rows())
    assert rows["track:unseen"] == own.filter(pl.col("track_id").is_in(["t3", "t4"])).height
    assert rows["track:unseen"] + rows["track:seen"] == own.height
    assert rows["history:none"] == late.filter(pl.col("lags_present") == 0).height
    parts = [rows[f"part:{i}"] for i in (1, 2, 3)]
    assert sum(parts) == own.height and "part:4" not in rows
    windows = own["window_start"].unique().sort()
    first = own.filter(pl.col("window_start") <= windows[-(-len(windows) // 3) - 1])
    assert parts[0] == first.height
