"""Every panel's SQL on real tables: with and without data, for each value of each variable."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
import worlds
from polars.testing import assert_frame_equal

from decided import FACTS, decided
from spotify_mlops.config.params import Params
from spotify_mlops.domain.labels import LEVELS
from spotify_mlops.io import bigquery
from spotify_mlops.io.bigquery import appending, frames, tables, warehouse
from spotify_mlops.model import dataset, metrics
from spotify_mlops.operations import audit
from spotify_mlops.operations.monitor import decisions, loop
from spotify_mlops.presentation.dashboard import grafana, panels, queries
from spotify_mlops.presentation.dashboard.panel import COLUMNS, Panel, fill
from spotify_mlops.presentation.dashboard.queries import Selection
from spotify_mlops.presentation.es import card, gate, names
from spotify_mlops.presentation.es.decisions import sentence

NAMES = [panel.name for panel in panels.panels(Params(profile="x"))]
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def watched(world: worlds.World) -> Params:
    """The shared world, after somebody audited it, scored it, evaluated and judged its model."""
    settings = world.settings
    report = audit.audit(settings)
    assert report.holds
    audit.record(settings, report)
    short = settings.replace(drift_windows=6, drift_patience=2)
    assert loop.step(short, card.write_persistence, act=False).scored_windows > 0
    described = world.champions[0].bundle.description["metrics"]
    frame = pl.DataFrame(described, infer_schema_length=None).with_columns(split=pl.lit("test"))
    rows = metrics.metrics_rows(
        frame, run_id="20260101T000000-h6", model=settings.model, written_at=datetime.now(UTC)
    )
    appending.append(settings, tables.MODEL_METRICS, rows)
    step = replace(decided("worth_promoting"), step="promoted", window_start=world.change)
    decisions.write(settings, step, datetime.now(UTC))
    return settings


@pytest.fixture(scope="module")
def everything(watched: Params) -> Selection:
    found = queries.extent(watched)
    # A panel shows whole minutes, and the world may be younger than one.
    soon = datetime.now(UTC) + timedelta(minutes=1)
    return found.selection(windows=None, clock=None, now=soon)


def panel_of(settings: Params, name: str) -> Panel:
    return next(panel for panel in panels.panels(settings) if panel.name == name)


def predicted(settings: Params, selection: Selection) -> pl.DataFrame:
    return worlds.content(settings, tables.PREDICTIONS).filter(
        pl.col("window_start").is_between(selection.start, selection.end),
        pl.col("country").is_in(selection.countries),
        pl.col("level").is_in(selection.levels),
        pl.col("model").is_in(selection.models),
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_panel_has_no_rows_on_empty_tables(name: str, empty: Params) -> None:
    nothing = Selection((), LEVELS, (), _LONG_AGO, _LONG_AGO, _LONG_AGO, datetime.now(UTC))
    assert queries.run(empty, panel_of(empty, name), nothing).is_empty()


@pytest.fixture(scope="module")
def empty(services: Any) -> Params:
    settings = worlds.own_params()
    warehouse.ensure_dataset(settings)
    found = queries.extent(settings)
    assert (found.newest, found.countries, found.models, found.last_report) == (None, (), (), None)
    return settings


@pytest.mark.parametrize("name", NAMES)
def test_a_panel_has_rows_of_its_kind(watched: Params, everything: Selection, name: str) -> None:
    panel = panel_of(watched, name)
    rows = queries.run(watched, panel, everything)
    assert rows.height
    assert set(COLUMNS[panel.kind]) <= set(rows.columns)
    if panel.kind == "table":
        assert all(re.search(r"[A-ZÁÉÍÓÚ]", column) for column in rows.columns)
        assert set(panel.units) <= set(rows.columns)
    else:
        assert rows["value"].null_count() == 0
        assert rows["value"].cast(pl.Float64).is_finite().all()


def test_why_a_decision_was_taken_is_the_same_sentence_in_sql(empty: Params) -> None:
    """Grafana has no Python: the sentences are made again by the query, from one template."""
    now = datetime.now(UTC)
    taken = [decided(reason) for reason in FACTS]
    for place, decision in enumerate(taken):
        decisions.write(empty, replace(decision, model=str(place)), now)
    panel = panel_of(empty, "decisions")
    panel = replace(panel, sql=panel.sql.replace("LIMIT 10", ""))  # it shows the latest
    everything = Selection((), LEVELS, (), _LONG_AGO, now, _LONG_AGO, now)
    shown = dict(queries.run(empty, panel, everything).select("Versión", "Motivo").iter_rows())
    expected = {str(place): sentence(decision) for place, decision in enumerate(taken)}
    drift, refused = (str([*FACTS].index(reason)) for reason in ("drift", "gate_refused"))
    expected[drift] = expected[drift].replace("1 feb 2026, 14:00", "01/02/2026, 14:00")
    expected[refused] = f"No pasa la puerta: {gate.CRITERION_NAMES['macro_f1']}."
    assert shown == expected
    # What an earlier release wrote is a sentence, and stays one.
    old = decided("worse").row(now) | {"reason": "Acierta más.", "facts": None, "model": "old"}
    appending.append(empty, tables.DECISIONS, frames.frame(tables.DECISIONS, [old]))
    (read,) = (decision for decision in decisions.read(empty) if decision.model == "old")
    assert sentence(read) == "Acierta más."
    latest = queries.run(empty, panel, everything)
    assert latest.filter(pl.col("Versión") == "old")["Motivo"].to_list() == ["Acierta más."]


def choices(selection: Selection) -> Iterator[Selection]:
    yield from (replace(selection, countries=(each,)) for each in selection.countries)
    yield from (replace(selection, levels=(each,)) for each in selection.levels)
    yield from (replace(selection, models=(each,)) for each in selection.models)
    day = timedelta(hours=5)
    yield replace(selection, start=selection.end - day)
    yield replace(selection, end=selection.start + day, since=selection.until - day)


@pytest.mark.parametrize("name", NAMES)
def test_a_panel_answers_for_each_value_of_each_variable(
    watched: Params, everything: Selection, name: str
) -> None:
    panel = panel_of(watched, name)
    for selection in choices(everything):
        rows = queries.run(watched, panel, selection)
        assert set(COLUMNS[panel.kind]) <= set(rows.columns)


def test_predictions_are_those_of_the_table_whatever_is_chosen(
    watched: Params, everything: Selection
) -> None:
    over_time = panel_of(watched, "popularity_distribution")
    now = panel_of(watched, "predicted_tracks")
    by_country = panel_of(watched, "popularity_by_country")
    for selection in (everything, *choices(everything)):
        rows = predicted(watched, selection)
        found = queries.run(watched, over_time, selection)
        expected = rows.group_by(time="window_start", series="level").agg(value=pl.len())
        key = ["time", "series"]
        assert (
            found.cast({"value": pl.Int64})
            .sort(key)
            .equals(expected.cast({"value": pl.Int64}).sort(key).select(found.columns))
        )
        every = replace(selection, countries=everything.countries, levels=LEVELS,
                        models=everything.models)  # fmt: skip
        latest = predicted(watched, every)["window_start"].max()
        last = rows.filter(pl.col("window_start") == latest)
        shown = queries.run(watched, now, selection)
        assert (shown["value"].to_list() or [0]) == [last.height]
        shares = queries.run(watched, by_country, selection)
        assert shares.height == last.select("country", "level").n_unique()
        for row in shares.iter_rows(named=True):
            of = last.filter(pl.col("country").replace(names.COUNTRY_NAMES) == row["category"])
            assert row["value"] == pytest.approx(
                of.filter(pl.col("level") == row["series"]).height / of.height
            )


def test_events_a_minute_are_the_counted_ones(watched: Params, everything: Selection) -> None:
    panel = panel_of(watched, "events_per_minute")
    found = queries.run(watched, panel, everything)
    counted = queries.run(watched, panel_of(watched, "event_count"), everything)["value"].item()
    minutes = watched.windows.window.total_seconds() / 60
    assert found["value"].sum() * minutes == pytest.approx(counted)
    assert set(found["series"]) <= set(names.EVENT_TYPE_NAMES.values())


def test_kept_rises_are_those_of_the_tables(watched: Params, everything: Selection) -> None:
    found = queries.run(watched, panel_of(watched, "rises_kept"), everything)
    live = worlds.content(watched, tables.MODEL_METRICS).filter(split="live", metric="rise_rate")
    windows = live["run_id"].unique().str.to_datetime("live-%Y%m%dT%H%M%S", time_zone="UTC")
    keys = ["window_start", "country", "track_id"]
    now = worlds.content(watched, tables.features(watched.windows)).select(*keys, "play_score")
    later = dataset.read_labels(watched).select(*keys, happened="level")
    rows = (
        predicted(watched, everything)
        .filter(pl.col("window_start").cast(windows.dtype).is_in(windows.implode()))
        .join(now, on=keys)
        .filter(pl.col("play_score").fill_null(0) < watched.model.level_alta)
        .join(later, on=keys)
        .with_columns(hit=pl.col("happened") == "Alta")
    )
    assert rows.height
    by_list = ["window_start", "model"]
    for country in everything.countries:
        shown = dict(
            found.filter(category=names.country(country)).select("series", "value").iter_rows()
        )
        part = rows.filter(country=country)
        assert shown["al azar"] == pytest.approx(100 * part["hit"].mean(), abs=0.051)
        worst, best = (
            part.sort("p_alta", "hit", descending=[True, lucky]).group_by(by_list).head(10)["hit"]
            for lucky in (False, True)
        )
        low, high = 100 * worst.mean(), 100 * best.mean()
        assert low - 0.051 <= shown["de la lista"] <= high + 0.051


def test_rising_tracks_have_risen_and_are_the_first(watched: Params, everything: Selection) -> None:
    found = queries.run(watched, panel_of(watched, "rising"), everything)
    features = worlds.content(watched, tables.features(watched.windows))
    last = features.filter(pl.col("window_start") == everything.end)
    before = features.filter(pl.col("window_start") == everything.end - 6 * watched.windows.window)
    keys = ["country", "track_id"]
    rows = last.join(predicted(watched, everything), on=["window_start", *keys]).join(
        before.select(*keys, was="play_score"), on=keys, how="left"
    )
    rows = rows.with_columns(rise=pl.col("play_score") - pl.col("was").fill_null(0.0))
    for country in everything.countries:
        risen = rows.filter(pl.col("country") == country, pl.col("rise") > 0)
        expected = risen["rise"].sort(descending=True).head(5).to_list()
        shown = found.filter(pl.col("País") == names.country(country))["Subida"].to_list()
        assert shown == pytest.approx(expected)


def test_operations_count_what_the_tables_hold(watched: Params, everything: Selection) -> None:
    letters = queries.run(watched, panel_of(watched, "dead_letters"), everything)
    assert letters["value"].sum() == worlds.content(watched, tables.DEAD_LETTERS).height
    assert set(letters["category"]) <= set(names.REASON_NAMES.values())
    late = queries.run(watched, panel_of(watched, "late_and_duplicates"), everything)
    totals = dict(late.group_by("series").agg(pl.col("value").sum()).iter_rows())
    report = audit.audit(watched).to_dict()["totals"]
    window = pl.col("window_start").is_between(everything.start, everything.end)
    assert totals["tardíos"] == worlds.content(watched, tables.LATE_EVENTS).filter(window).height
    assert totals["duplicados"] <= report["duplicates"]
    shown = queries.run(watched, panel_of(watched, "audits"), everything).row(0, named=True)
    assert (shown["En Kafka"], shown["Faltan"]) == (report["records"], 0)
    assert queries.run(watched, panel_of(watched, "audit_status"), everything)["value"].item() == 0


def test_the_lag_of_a_caught_up_job_is_what_it_last_told(
    watched: Params, everything: Selection
) -> None:
    told = bigquery.query(watched, "SELECT * FROM {dataset}.spotify_lag")
    last = told.filter(pl.col("measured_at") == told["measured_at"].max())
    found = dict(
        queries.run(watched, panel_of(watched, "lag_now"), everything)
        .select("series", "value")
        .iter_rows()
    )
    assert found["registros"] == last["records"].sum()
    fresh = queries.run(watched, panel_of(watched, "freshness_now"), everything)
    seconds = bigquery.query(watched, "SELECT seconds FROM {dataset}.spotify_freshness")["seconds"]
    assert seconds.min() <= fresh["value"].min() <= fresh["value"].max() <= seconds.max()
    assert seconds.min() > 0


def test_grafana_asks_for_the_same(watched: Params, everything: Selection) -> None:
    """With its variables and macros replaced as Grafana's BigQuery data source does."""

    def literal(time: datetime) -> str:
        return f"TIMESTAMP('{time:%Y-%m-%d %H:%M:%S.%f}')"

    def quoted(values: tuple[str, ...]) -> str:
        return ",".join(f"'{value}'" for value in values)

    selection = replace(everything, since=everything.start, until=everything.end)
    replaced = {
        "$__timeFrom()": literal(selection.start),
        "$__timeTo()": literal(selection.end),
        "${dataset}": watched.bigquery.dataset,
        "${country:singlequote}": quoted(selection.countries),
        "${level:singlequote}": quoted(selection.levels),
        "${model:singlequote}": quoted(selection.models),
    }
    for panel in panels.panels(watched):
        sql = fill(panel.sql, grafana._VALUES)
        for text, value in replaced.items():
            sql = sql.replace(text, value)
        # Sums of floats come out by the order of their terms.
        assert_frame_equal(bigquery.query(watched, sql), queries.run(watched, panel, selection))
