"""Early detection against scikit-learn and against plain loops over lists and tracks."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from fractions import Fraction
from itertools import permutations
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

import tiny_model
from spotify_mlops.domain.labels import LEVELS
from spotify_mlops.model import early_detection, early_scores, metrics
from spotify_mlops.model.early_detection import DIRECTIONS, LIST_SIZES, Direction
from thorough import examples

PARAMS = tiny_model.settings()
HOUR = timedelta(hours=1)
SCHEMA = {
    "window_start": pl.Datetime("us", "UTC"),
    "country": pl.String,
    "track_id": pl.String,
    "current_level": pl.String,
    "level": pl.String,
    "order": pl.Float64,
}
levels = st.sampled_from(LEVELS)
rows_of_worlds = st.lists(
    st.tuples(
        st.integers(0, 7), st.sampled_from(["CO", "ES"]), st.sampled_from("abcdefgh"),
        levels, levels, st.sampled_from([-1.0, -0.0, 0.0, 0.25, 0.5, 0.75, 1.0]),
    ),
    min_size=1, max_size=70, unique_by=lambda row: row[:3],
)  # fmt: skip
directions = st.sampled_from(DIRECTIONS)


def frame_of(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    """Return rows as ``(hour, country, track, level now, level later, order)`` say."""
    placed = [(tiny_model.START + hour * HOUR, *rest) for hour, *rest in rows]
    return pl.DataFrame(placed, schema=SCHEMA, orient="row")


def values_of(scored: pl.DataFrame) -> dict[str, float | None]:
    return dict(scored.select("metric", "value").iter_rows())


def candidates_of(
    rows: list[tuple[Any, ...]], direction: Direction
) -> list[tuple[int, str, str, bool, float]]:
    rises = direction == "rise"
    return [
        (hour, country, track, (later == "Alta") == rises, order if rises else -order)
        for hour, country, track, now, later, order in rows
        if (now != "Alta") == rises
    ]


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9]), st.booleans()), min_size=1))
def test_average_precision_is_that_of_scikit_learn(rows: list[tuple[float, bool]]) -> None:
    order, hit = (np.array(column) for column in zip(*rows, strict=True))
    found = early_detection.average_precision(order, hit)
    if hit.any():
        assert found == pytest.approx(average_precision_score(hit, order), abs=1e-12)
    else:
        assert found is None


@given(rows_of_worlds, directions)
@examples(40)
def test_every_resampled_average_precision_is_scikit_learns_with_weights(
    rows: list[tuple[Any, ...]], direction: Direction
) -> None:
    frame = frame_of(rows)
    row = early_detection.score(frame, direction, PARAMS).filter(metric=f"{direction}_ap")
    found = candidates_of(rows, direction)
    if not any(hit for *_, hit, _ in found):
        assert row["value"].to_list() in ([], [None])
        return
    starts = [tiny_model.START + hour * HOUR for hour, *_ in found]
    block, number = metrics.blocks_of(pl.DataFrame({"window_start": starts}), PARAMS)
    hit = np.array([hit for *_, hit, _ in found])
    order = np.array([order for *_, order in found])
    drawn = [
        average_precision_score(hit, order, sample_weight=weight[block])
        for weight in metrics.bootstrap_weights(number, PARAMS.model)
        if weight[block][hit].any()
    ]
    expected = [drawn[0], *np.quantile(drawn[1:], [0.025, 0.975])]
    assert row.select("value", "low", "high").row(0) == pytest.approx(expected)


@given(rows_of_worlds, directions)
@examples(60)
def test_lists_and_costs_are_those_of_a_loop(
    rows: list[tuple[Any, ...]], direction: Direction
) -> None:
    found = values_of(early_detection.score(frame_of(rows), direction, PARAMS))
    lists = defaultdict(list)
    for hour, country, _, hit, order in candidates_of(rows, direction):
        lists[hour, country].append((order, hit))
    total = sum(hit for members in lists.values() for _, hit in members)
    number = sum(map(len, lists.values()))
    if not number:
        assert found == {}
        return
    cost = PARAMS.cost
    missed, idle = cost.missed_alta, cost.false_alta
    if direction == "fall":
        missed, idle = idle, missed
    assert found[f"{direction}_cost_at_0"] == pytest.approx(total * missed / number)
    for k in LIST_SIZES:
        listed, hits = 0, Fraction(0)
        for members in lists.values():
            listed += min(k, len(members))
            hits += _expected_hits(members, k)
        assert found[f"{direction}_precision_at_{k}"] == pytest.approx(float(hits / listed))
        recall = found[f"{direction}_recall_at_{k}"]
        assert recall == (pytest.approx(float(hits / total)) if total else None)
        paid = float(listed - hits) * idle + float(total - hits) * missed
        assert found[f"{direction}_cost_at_{k}"] == pytest.approx(paid / number)


def _expected_hits(members: list[tuple[float, bool]], k: int) -> Fraction:
    """Return the hits among the first k, averaged over the orders of equal scores, one by one."""
    left, hits = k, Fraction(0)
    for order in sorted({order for order, _ in members}, reverse=True):
        tied = [hit for other, hit in members if other == order]
        if len(tied) <= left:
            hits += sum(tied)
        else:
            hits += Fraction(sum(tied) * left, len(tied))
        left = max(0, left - len(tied))
    return hits


def test_equal_scores_give_what_random_orders_give_on_average() -> None:
    tied = [(0, "CO", track, "Baja", later, 0.5) for track, later in zip(
        "abcdef", ["Alta", "Alta", "Baja", "Media", "Baja", "Baja"], strict=True)]  # fmt: skip
    every = list(permutations([True, True, False, False, False, False]))
    expected = np.mean([sum(order[:5]) / 5 for order in every])
    found = values_of(early_detection.score(frame_of(tied), "rise", PARAMS))
    assert found["rise_precision_at_5"] == pytest.approx(expected)
    assert found["rise_ap"] == pytest.approx(2 / 6)
    # Nobody can say which of six equal tracks are on a list of five.
    assert found["rise_foreseen_at_5"] == 0 and found["rise_lead_at_5"] is None
    assert found["rise_foreseen_at_10"] == 1


@given(rows_of_worlds, directions)
@examples(60)
def test_lead_is_that_of_a_loop_over_tracks(
    rows: list[tuple[Any, ...]], direction: Direction
) -> None:
    scored = early_detection.score(frame_of(rows), direction, PARAMS)
    found = values_of(scored)
    lists = defaultdict(list)
    for hour, country, track, _, order in candidates_of(rows, direction):
        lists[hour, country].append((track, order))
    known: dict[tuple[str, str], dict[int, bool]] = defaultdict(dict)
    for hour, country, track, now, later, _ in rows:
        for when, level in ((hour, now), (hour + PARAMS.model.horizon, later)):
            reached = (level == "Alta") == (direction == "rise")
            known[country, track][when] = known[country, track].get(when, False) or reached
    reached_at = {
        key: min(when for when, reached in seen.items() if reached)
        for key, seen in known.items()
        if any(seen.values())
    }
    arriving = {key: at for key, at in reached_at.items() if min(known[key]) < at}
    for k in LIST_SIZES:
        leads = []
        for (country, track), at in arriving.items():
            on = {
                hour: sum(other >= order for _, other in members) <= k
                for (hour, where), members in lists.items()
                for name, order in members
                if where == country and name == track and hour < at
            }
            begun = None
            for hour in sorted(on, reverse=True):
                if not on[hour]:
                    break
                begun = hour
            if begun is not None:
                leads.append(at - begun)
        share = found.get(f"{direction}_foreseen_at_{k}")
        if not arriving or not candidates_of(rows, direction):
            assert share is None
            continue
        assert share == pytest.approx(len(leads) / len(arriving))
        mean = found[f"{direction}_lead_at_{k}"]
        assert mean == (pytest.approx(np.mean(leads)) if leads else None)
        counted = scored.filter(metric=f"{direction}_lead_at_{k}")["rows"].item()
        assert counted == len(leads)


def test_where_nothing_rises_there_is_no_value() -> None:
    still = frame_of([(h, "CO", t, "Media", "Media", 0.1 * h) for h in range(6) for t in "ab"])
    found = early_detection.score(still, "rise", PARAMS)
    empty = found.filter(pl.col("metric").str.contains("_ap|_recall"))
    assert empty.height == 1 + len(LIST_SIZES)
    assert empty.select("value", "low", "high").null_count().row(0) == (empty.height,) * 3
    assert values_of(found)["rise_precision_at_5"] == 0
    assert early_detection.score(still, "fall", PARAMS).is_empty()
    assert early_detection.difference(still, np.zeros(still.height), "rise", PARAMS) is None


def test_a_country_with_one_track_is_judged_too() -> None:
    rows = [(h, "ES", "a", "Baja", "Alta" if h == 5 else "Baja", float(h)) for h in range(6)]
    rows += [(h, "CO", t, "Baja", "Baja", 0.0) for h in range(6) for t in "abcdefgh"]
    by_country = early_detection.slices(frame_of(rows), "country", "rise", PARAMS)
    spain = by_country.filter(slice="country:ES")
    assert values_of(spain)["rise_ap"] == 1
    assert values_of(spain)["rise_precision_at_10"] == pytest.approx(1 / 6)
    assert values_of(by_country.filter(slice="country:CO"))["rise_ap"] is None


@given(rows_of_worlds, directions)
@examples(25)
def test_a_ranking_is_no_better_than_itself_nor_than_any_that_keeps_its_order(
    rows: list[tuple[Any, ...]], direction: Direction
) -> None:
    frame = frame_of(rows)
    found = early_detection.difference(frame, np.exp(frame["order"]), direction, PARAMS)
    hits = any(hit for *_, hit, _ in candidates_of(rows, direction))
    assert found == (pytest.approx((0, 0, 0)) if hits else None)


def test_plain_orders_are_today_and_momentum() -> None:
    rows = pl.DataFrame({"play_score": [60.0, None, 10.0], "momentum": [-3.0, 0.0, 8.0]})
    found = early_scores.plain_orders(rows)
    assert list(found) == list(early_scores.PLAIN_ORDERS)
    assert found["today_score"].tolist() == [60, 0, 10]
    assert found["momentum"].tolist() == [-3, 0, 8]
    moves = zip("abc", ["Alta", "Baja", "Baja"], strict=True)
    frame = frame_of([(0, "CO", track, "Baja", later, 0.0) for track, later in moves])
    scored = early_detection.score(frame.with_columns(order=found["chance"]), "rise", PARAMS)
    assert values_of(scored)["rise_ap"] == pytest.approx(1 / 3)


def test_a_run_judges_its_models_and_the_plain_orders_alike() -> None:
    result = tiny_model.result()
    scored = result.metrics.filter(split="test", slice="all")
    precision = scored.filter(metric="rise_ap")
    assert set(precision["model"]) == {*early_scores.RANKED_MODELS, *early_scores.PLAIN_ORDERS}
    own = result.of("dynamics")
    now = result.of("persistence")["predicted"]
    waiting = (now != "Alta").to_numpy()
    rises = (own["level"] == "Alta").to_numpy()
    expected = average_precision_score(rises[waiting], own["p_alta"].to_numpy()[waiting])
    value_of = dict(precision.select("model", "value").iter_rows())
    assert value_of["dynamics"] == pytest.approx(expected)
    assert value_of["chance"] == pytest.approx(rises[waiting].mean())
    over = scored.filter(model="dynamics", metric="rise_ap_over_today_score")
    assert over["value"].item() == pytest.approx(expected - value_of["today_score"])
    falls = average_precision_score(~rises[~waiting], -own["p_alta"].to_numpy()[~waiting])
    fall = scored.filter(model="dynamics", metric="fall_ap")["value"].item()
    assert fall == pytest.approx(falls)


def test_a_run_judges_its_lists_by_country_and_for_new_tracks() -> None:
    result = tiny_model.result()
    sliced = result.metrics.filter(split="test", model="dynamics", metric="rise_ap")
    assert set(sliced["slice"]) >= {"all", "country:CO", "country:ES", "country:US", "track:seen"}
    parts = sliced.filter(pl.col("slice").str.starts_with("country:"))
    assert parts["rows"].sum() == sliced.filter(slice="all")["rows"].item()
    tracks = sliced.filter(pl.col("slice").str.starts_with("track:"))
    assert tracks["rows"].sum() == sliced.filter(slice="all")["rows"].item()
