"""The leak audit: quiet on the real inputs, loud on every planted piece of the future."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

import tiny_model
from spotify_mlops.domain import features
from spotify_mlops.domain.features import ROW_KEY
from spotify_mlops.domain.labels import LEVELS
from spotify_mlops.domain.windows import Windowing
from spotify_mlops.model import dataset, diagnostics, leaks, metrics
from spotify_mlops.model.learner import Hyperparameters, fit
from spotify_mlops.presentation.narrative import modeling

PARAMS = tiny_model.settings()
NAMES = features.Inputs.of(PARAMS.windows).names()
WINDOWING = Windowing.of(PARAMS.windows)


def audit(table: pl.DataFrame) -> dict[str, int]:
    windows = leaks.sample_windows(table, PARAMS.model)
    found = leaks.audit(table, tiny_model.events(), PARAMS.windows, windows)
    assert sorted(found["input"]) == sorted(NAMES)
    assert found["different"].is_sorted(descending=True)
    return dict(found.filter(pl.col("different") > 0).select("input", "different").iter_rows())


def from_next_window(column: str) -> pl.DataFrame:
    """Return the table with an input that is that of the window after, where there is one."""
    table = tiny_model.data()[0]
    later = table.select(
        WINDOWING.shift_expr("window_start", -1).alias("window_start"),
        "country", "track_id", pl.col(column).alias("_later"),
    )  # fmt: skip
    joined = table.join(later, on=ROW_KEY, how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("_later", column).alias(column)).drop("_later")


def test_the_inputs_do_not_know_the_future() -> None:
    assert audit(tiny_model.data()[0]) == {}


def test_windows_are_a_repeatable_sample_of_all() -> None:
    table = tiny_model.data()[0]
    windows = leaks.sample_windows(table, PARAMS.model, 9)
    assert windows == sorted(set(windows)) and len(windows) == 9
    assert windows == leaks.sample_windows(table[::-1], PARAMS.model, 9)
    assert (
        len(leaks.sample_windows(table, PARAMS.model, 10_000)) == table["window_start"].n_unique()
    )


@pytest.mark.parametrize(
    "column", ["country_rank", "momentum", "other_best_score", "artist_tracks"]
)
def test_an_input_of_the_next_window_is_caught(column: str) -> None:
    assert set(audit(from_next_window(column))) <= {column}
    if column != "artist_tracks":  # tracks without an artist: the same in every window
        assert audit(from_next_window(column))[column] > 100


def test_one_value_in_its_last_bit_is_caught() -> None:
    table = tiny_model.data()[0]
    window = leaks.sample_windows(table, PARAMS.model)[3]
    first = (pl.col("window_start") == window) & (pl.int_range(pl.len()).over("window_start") == 5)
    nudged = pl.Series(np.nextafter(table["log_plays"].to_numpy(), np.inf))
    changed = table.with_columns(log_plays=pl.when(first).then(nudged).otherwise("log_plays"))
    assert audit(changed) == {"log_plays": 1}
    windows = leaks.sample_windows(table, PARAMS.model)
    found = leaks.audit(changed, tiny_model.events(), PARAMS.windows, windows)
    caught, clean = found.row(0, named=True), found.row(1, named=True)
    assert (caught["input"], caught["window_start"]) == ("log_plays", window)
    assert caught["stored"] == np.nextafter(caught["recomputed"], np.inf)
    assert clean["different"] == 0 and clean["stored"] is None


def test_rows_that_should_not_be_there_or_are_not_are_caught() -> None:
    table = tiny_model.data()[0]
    window = leaks.sample_windows(table, PARAMS.model)[0]
    here = table.filter(pl.col("window_start") == window)
    for changed in (
        table.join(here.head(2), on=ROW_KEY, how="anti"),
        pl.concat([table, here.head(2).with_columns(track_id="track_id" + pl.lit("'"))]),
    ):
        assert audit(changed) == dict.fromkeys(NAMES, 2)


def test_a_leak_in_the_code_itself_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lag that looks ahead, in the very code that made the table."""
    forward = features.carry

    def ahead(ranked: pl.DataFrame, lags: list[int], windowing: Windowing) -> pl.DataFrame:
        copies = forward(ranked, lags, windowing)
        wrong = pl.when(pl.col("lag") == 1).then(2 * windowing.length).otherwise(timedelta(0))
        return copies.with_columns(window_start=pl.col("window_start") - wrong)

    monkeypatch.setattr("spotify_mlops.domain.features.building.carry", ahead)
    table = features.reference(tiny_model.events(), WINDOWING, features.Inputs.of(PARAMS.windows))
    assert {"score_lag_1", "plays_lag_1", "momentum"} <= set(audit(table))


# --- the alarm --------------------------------------------------------------------------------


def labelled(table: pl.DataFrame) -> pl.DataFrame:
    return dataset.join(table, tiny_model.data()[1], PARAMS.model)


def suspects(rows: pl.DataFrame) -> set[str]:
    found = leaks.alarm(rows, PARAMS)
    assert sorted(found["input"]) == sorted(NAMES)
    assert found.select(pl.col("now", "earlier", "before").is_between(-1e-9, 1)).to_numpy().all()
    return set(found.filter("suspect")["input"])


def test_honest_inputs_raise_no_alarm() -> None:
    assert suspects(labelled(tiny_model.data()[0])) == set()


def test_an_input_that_is_the_answer_raises_the_alarm() -> None:
    rows = labelled(tiny_model.data()[0])
    answer = pl.col("level").replace_strict(list(LEVELS), [3.0, 2.0, 1.0])
    noise = pl.Series(np.random.default_rng(1).normal(0, 0.4, rows.height))
    assert suspects(rows.with_columns(skip_rate=answer + noise)) == {"skip_rate"}


def test_what_cannot_vary_tells_nothing() -> None:
    rows = labelled(tiny_model.data()[0])
    found = leaks.alarm(rows.with_columns(level=pl.lit("Alta")), PARAMS, ["country_rank"])
    assert found.row(0) == ("country_rank", 0.0, 0.0, 0.0, False)
    found = leaks.alarm(rows.with_columns(country_rank=pl.lit(1.0)), PARAMS, ["country_rank"])
    assert found.row(0) == ("country_rank", 0.0, 0.0, 0.0, False)


# --- shuffled levels --------------------------------------------------------------------------


def test_shuffled_levels_score_no_better_than_chance() -> None:
    """Over many shuffles, such models score no more than guessing as they guess would.

    One of them alone may be lucky: it says the same of a track in every window. So the mean over
    shuffles is compared, with its own standard error, to a chance that is simulated for each: its
    predictions dealt out again among the rows.
    """
    ranges = dataset.split(labelled(tiny_model.data()[0]), PARAMS)
    names = dataset.inputs("dynamics", PARAMS.windows, ranges.train)
    x, y = dataset.matrix(ranges.train, names), dataset.level_codes(ranges.train["level"])
    rows = dataset.matrix(ranges.validation, names)
    truth = dataset.level_codes(ranges.validation["level"])
    quick = Hyperparameters(max_iter=8, learning_rate=0.3, min_samples_leaf=40)
    random = np.random.default_rng(11)
    scores, chance = [], []
    for seed in range(24):
        predicted = fit(x, random.permutation(y), quick, seed).predict(rows)
        scores.append(metrics.macro_f1_of(truth, predicted))
        chance.append(metrics.chance_macro_f1(truth, predicted, random, 40).mean())
    excess = np.array(scores) - np.array(chance)
    assert excess.mean() < 3 * excess.std(ddof=1) / np.sqrt(len(excess))
    assert max(scores) < 0.5
    honest = fit(x, y, quick, 0).predict(rows)
    dealt = metrics.chance_macro_f1(truth, honest, random, 1000)
    assert metrics.macro_f1_of(truth, honest) > max(*scores, dealt.max()) + 0.1


def test_the_check_of_the_notebook_says_what_chance_is() -> None:
    ranges = dataset.split(labelled(tiny_model.data()[0]), PARAMS)
    found = {r["name"]: r for r in diagnostics.shuffled_label_check(ranges, PARAMS).to_dicts()}
    excess = found["excess"]
    assert excess["value"] == pytest.approx(found["shuffled"]["value"] - found["chance"]["value"])
    gain = found["levels"]["value"] - found["chance"]["value"]
    assert abs(excess["value"]) < 0.1 * gain
    assert excess["low"] < excess["value"] < excess["high"]
    assert found["shuffled"]["high"] < found["levels"]["low"]


@pytest.mark.parametrize(
    ("excess", "kind"),
    [((-0.01, -0.02, 0.0), "finding"), ((0.004, 0.001, 0.007), "finding"),
     ((0.1, -0.02, 0.22), "warning"), ((0.3, 0.29, 0.31), "warning")],
)  # fmt: skip
def test_the_notebook_warns_when_shuffled_levels_come_near(excess, kind) -> None:
    rows = [("levels", 0.6, 0.5, 0.7), ("shuffled", 0.3, 0.2, 0.4), ("chance", 0.2, 0.2, 0.4),
            ("excess", *excess)]  # fmt: skip
    frame = pl.DataFrame(rows, schema=["name", "value", "low", "high"], orient="row")
    assert modeling.shuffled_finding(frame).kind == kind
