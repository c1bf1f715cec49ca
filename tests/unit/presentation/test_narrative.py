"""Sentences and tables state the numbers they are given, and change with them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import polars as pl
import pytest

import tiny_model
from spotify_mlops.config import params
from spotify_mlops.config.spanish import NO_VALUE
from spotify_mlops.model import dataset, leaks
from spotify_mlops.model.release import Release
from spotify_mlops.model.table_checks import Check
from spotify_mlops.presentation.es import interval, number, numbers, percent
from spotify_mlops.presentation.figures import model as model_figures
from spotify_mlops.presentation.narrative import (
    business,
    deployment,
    early,
    eda,
    evaluation,
    modeling,
    preparation,
    quality,
)
from spotify_mlops.presentation.narrative.show import Facts, Text, table
from tiny_model import verdict

LOCAL = params.load("local")
CHARTS = params.load("charts")
START = pd.Timestamp("2026-01-05", tz="UTC")


def volume(scale: float = 1.0, hours: int = 48) -> pd.DataFrame:
    times = pd.date_range(START, periods=hours, freq="h")
    rows = [
        (t, code, "play", 10, weight * scale * (2 if t.hour == 20 else 1))
        for t in times
        for code, weight in (("CO", 5.0), ("ES", 7.0))
    ]
    return pd.DataFrame(rows, columns=["time", "country", "event_type", "events", "value"])


def test_summary_counts_what_it_is_given():
    one, two = (
        eda.summary(volume(), LOCAL.windows).markdown,
        eda.summary(volume(3), LOCAL.windows).markdown,
    )
    said = (
        "Hay **960 eventos** únicos entre 5 ene 2026 y 7 ene 2026, que equivalen a {} "
        f"reproducciones en 2 países. España pone el {percent(7 / 12, 0)}."
    )
    assert (one, two) == (said.format("600"), said.format("1.800"))
    spain = volume()[lambda frame: frame["country"] == "ES"]
    assert eda.summary(spain, LOCAL.windows).markdown.endswith("reproducciones en España.")


def test_the_target_is_what_the_texts_say():
    of_api = params.load("webapi")
    matrix = pd.DataFrame(np.eye(3), ["Alta", "Media", "Baja"], ["Alta", "Media", "Baja"])
    assert "puesto entre las canciones" in business.question(LOCAL).markdown
    assert "la popularidad que da la API" in business.question(of_api).markdown
    assert "lo que enseña la Web API" in business.provenance(of_api).markdown
    assert "**puesto dentro del país**" in eda.decision(matrix, LOCAL.windows).markdown
    assert "**popularidad que da la API**" in eda.decision(matrix, of_api.windows).markdown


def test_per_day_leaves_out_days_that_are_not_whole():
    frame, unit = eda.per_day(volume(hours=60), LOCAL.windows)
    assert sorted(set(frame["time"])) == [START, START + timedelta(days=1)]
    assert unit == "reproducciones por día"
    assert frame["value"].sum() == 600


def test_rhythm_is_in_local_time():
    week = eda.local_week(volume())
    by_hour = week[week["country"] == "CO"].groupby("hour")["value"].mean()
    assert by_hour.idxmax() == 15  # 20:00 UTC in Bogotá
    assert eda.rhythm_finding(volume(), LOCAL.windows).markdown.startswith(
        "Hora local de más escucha, y cuántas veces la de menos: Colombia a las 15 h (2,0 veces) y "
        "España a las 21 h (2,0 veces). En fin de semana se oye un "
    )


def test_tail_and_overlap():
    totals = pd.DataFrame(
        {
            "country": ["CO"] * 5 + ["ES"] * 5,
            "track_id": [*"abcde", *"abxyz"],
            "plays": [80, 5, 5, 5, 5, 20, 20, 20, 20, 20],
        }
    )
    assert eda.tail_finding(totals).markdown.startswith(
        "El 20 % de las canciones más oídas reúne el "
        f"{percent(0.8, 0)} en Colombia y {percent(0.2, 0)} en España de las reproducciones. "
    )
    shared = eda.overlap(totals)
    assert shared.loc["CO", "ES"] == pytest.approx(0.4)
    assert shared.loc["CO", "CO"] == 1


def test_life_counts_silence_as_zero_and_unknown_beginnings_not_at_all():
    rows = [("CO", "old", START + timedelta(days=d), 9) for d in range(10)]
    for i in range(40):
        rows += [("CO", f"t{i}", START + timedelta(days=1), 5)]
        rows += [("CO", f"t{i}", START + timedelta(days=2), 10)]
        rows += [("CO", f"t{i}", START + timedelta(days=3), 10)] if i < 15 else []
        rows += [("CO", f"t{i}", START + timedelta(days=4), 5)]
    frame = pd.DataFrame(rows, columns=["country", "track_id", "time", "plays"])
    curve = eda.life(frame, LOCAL.windows)
    assert list(curve["median"][:4]) == [0.5, 1.0, 0.0, 0.5]
    assert set(curve["tracks"]) == {40}
    assert eda.life_finding(curve, LOCAL.windows).markdown.startswith(
        "De 40 estrenos, la mediana toca su mejor momento a 1 días y cae a la mitad 1 días después."
    )


def test_lead_finds_a_planted_signal_and_no_other():
    random = np.random.default_rng(3)
    rows = []
    for track in range(400):
        searches = int(random.integers(0, 20))
        for hour, score in ((0, 50.0), (1, 50.0 + searches)):
            time = START + timedelta(hours=hour)
            noise = int(random.integers(0, 20))
            rows.append((time, "CO", f"t{track}", score, searches, noise, 0))
    schema = ["window_start", "country", "track_id", "play_score", "searches",
              "recommendations", "skips"]  # fmt: skip
    frame = pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        pl.col("window_start").cast(pl.Datetime("us", "UTC"))
    )
    found = eda.lead(frame, LOCAL.windows).set_index("signal")["correlation"]
    assert found["search_result"] > 0.85
    assert abs(found["recommendation"]) < 0.2
    assert "skip" not in found.index
    assert "búsqueda" in eda.lead_finding(found.reset_index().assign(lag=1), LOCAL.windows).markdown


def test_lead_without_signals_says_so():
    empty = pd.DataFrame({"signal": [], "lag": [], "correlation": []})
    assert "no hay señal" in eda.lead_finding(empty, CHARTS.windows).markdown


def test_transitions_are_row_shares():
    pairs = pd.DataFrame(
        {"now": ["Alta", "Alta", "Baja"], "later": ["Alta", "Baja", "Baja"], "pairs": [3, 1, 2]}
    )
    matrix = eda.transition_matrix(pairs)
    assert matrix.loc["Alta"].tolist() == [0.75, 0, 0.25]
    assert matrix.loc["Media"].sum() == 0
    kept = [percent(share, 0) for share in (0.75, 0, 1)]
    assert eda.transition_finding(matrix, LOCAL).markdown == (
        "Después de 1 día sigue en su nivel el {} de Alta, el {} de Media y el {} de Baja. Decir "
        "«seguirá igual» es la vara que hay que superar, y donde más falla es en Media."
    ).format(*kept)


def test_quality_adds_up():
    arrived = pd.DataFrame(
        [(90, 3, 2, 0, 9)], columns=["records", "late", "duplicates", "track_name", "artist_name"]
    )
    dead = pd.DataFrame({"reason": ["not_json", "empty"], "records": [6, 4]})
    shown = dict((name, (count, share)) for name, count, share in quality.table(arrived, dead).rows)
    assert shown["cartas muertas"] == ("10", percent(0.1, 2))
    assert quality.reasons(dead) == {"no es JSON": 6, "registro vacío": 4}
    nothing = quality.finding(arrived * 0, dead.head(0)).markdown
    assert "No llegó nada tarde" in nothing


def test_business_follows_the_params():
    assert "**1 hora**" in business.question(LOCAL).markdown
    assert "**1 semana**" in business.question(CHARTS).markdown
    assert business.provenance(LOCAL).markdown.startswith("**Los datos son sintéticos.**")
    assert "reales" in business.provenance(CHARTS).markdown
    strict = params.load("local", gate_min_macro_f1=0.77, cost_missed_alta=9)
    assert ("Macro-F1 en prueba", "al menos 0,77") in business.criteria(strict.gate).rows
    assert business.costs(strict.cost).rows[0][3] == "9,0"
    assert "03/01/2020" in business.plan(CHARTS.model).markdown


def test_leak_checks_decide():
    good = Check("key", 10, 0)
    assert preparation.checks_decision([good]).kind == "decision"
    for bad in (Check("future", 10, 1), Check("future", 0, 0)):
        text = preparation.checks_decision([good, bad])
        assert text.kind == "warning"
        assert "Falla: Las variables no ven el futuro." in text.markdown


def test_verdict_says_why_not():
    assert evaluation.verdict(verdict(True, True)).kind == "decision"
    refused = evaluation.verdict(verdict(True, False))
    assert refused.kind == "warning"
    assert refused.markdown == (
        "El modelo **no se promociona**. El macro-F1, 0,400, no alcanza el mínimo de 0,50."
    )
    assert evaluation.gate_table(verdict(True, False)).rows == (
        ("sí", "La exactitud, 0,400, alcanza el mínimo de 0,50."),
        ("NO", "El macro-F1, 0,400, no alcanza el mínimo de 0,50."),
    )


def test_a_later_training_that_waits_for_its_verdict_is_told(tmp_path):
    for run in ("20260101T000000", "20260102T000000", "20260103T000000"):
        (tmp_path / run).mkdir()
    told = deployment.pending_finding(tmp_path, "20260102T000000")
    assert told.kind == "warning" and "1 otro posterior sin evaluar" in told.markdown
    assert deployment.pending_finding(tmp_path, "20260103T000000").kind == "finding"


def test_effects_say_which_is_largest_and_what_cannot_vary():
    text = evaluation.effects_finding({"País": 0.02, "Hora (UTC)": 0.05}).markdown
    assert text.index("hora (UTC) (5,0 puntos)") < text.index("país (2,0 puntos)")
    assert "parte de búsquedas" in text
    assert "no se puede medir" in evaluation.effects_finding({}).markdown


def test_one_country_is_compared_with_none():
    found = pd.DataFrame(
        [
            ("Brasil", 0.9, 0.8, 1.0, 9),
            ("nivel Alta", 0.9, 0.8, 1, 9),
            ("nivel Baja", 0.5, 0, 1, 9),
        ],
        columns=["name", "value", "low", "high", "rows"],
    )
    said = evaluation.slices_finding(found).markdown
    assert said == "Solo hay un país, Brasil: 0,900. El nivel más difícil es Baja (F1 0,500)."


def test_rising_tracks_are_not_alta_yet():
    frame = pd.DataFrame(
        {
            "track_id": ["a", "b", "c"],
            "track_name": ["Arriba", None, "Tercera"],
            "country": ["CO", "ES", "MX"],
            "score_now": [95.0, np.nan, 50.0],
            "p_alta": [0.99, 0.4, 0.8],
        }
    )
    rows = deployment.rising_table(frame, LOCAL.model).rows
    assert [row[0] for row in rows] == ["Tercera", "b"]
    result = tiny_model.result()
    said = deployment.rising_finding(frame, result, LOCAL.model).markdown
    tested = early.facts(result)["rises"]
    assert "de estas 2 cabe esperar que lleguen **1,2**" in said
    assert f"subió el **{percent(tested['value'])}**" in said
    assert f"habría subido el {percent(tested['chance'])}" in said
    up = frame.assign(score_now=95.0)
    assert "no hay lista" in deployment.rising_finding(up, result, LOCAL.model).markdown


def test_table_writes_numbers_and_gaps():
    frame = pl.DataFrame({"n": [1234567, None], "x": [0.12345, 2.0], "t": ["<b>", None]})
    shown = table(frame, "Título", {"t": "Texto", "n": "N", "x": ("X", number)})
    assert shown.rows[0] == ("<b>", number(1234567), "0")
    assert shown.rows[1][:2] == (NO_VALUE, NO_VALUE)
    html = shown._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<caption>Título</caption>" in html


def test_outputs_name_their_kind():
    data, metadata = Text("Sí.", "decision")._repr_mimebundle_()
    assert data["text/markdown"] == "Sí."
    assert metadata["text/markdown"]["kind"] == "decision"
    assert Facts({"a": 1})._repr_mimebundle_()["text/plain"] == ""


def test_window_finding_names_the_target():
    frame = pd.DataFrame({"window_start": [datetime(2026, 1, 25, 23, tzinfo=UTC)] * 3})
    text = deployment.window_finding(frame, LOCAL).markdown
    assert "25 ene 2026, 23:00" in text
    assert "26 ene 2026, 23:00" in text


@pytest.mark.parametrize(
    ("approved", "since", "words"),
    [
        (True, START.to_pydatetime(), "es el campeón de las ventanas"),
        (True, None, "es el mismo que ya servía"),
        (False, None, "no se promociona"),
    ],
)
def test_release_finding_names_who_serves(approved, since, words):
    text = deployment.release_finding(Release("2", since), verdict(approved), LOCAL.model).markdown
    assert "**popularity@2**" in text
    assert words in text


def test_the_evaluation_says_where_the_model_is_weak_and_whether_an_input_leaks():
    result = tiny_model.result()
    groups = evaluation.weak_slices(result)
    assert {"canciones ya conocidas", "último tercio"} <= set(groups["name"])
    assert "No hubo filas de" in evaluation.weak_finding(result).markdown
    own = result.metrics.filter(model="dynamics", split="test", slice="all", metric="ece")
    shown = evaluation.calibration_finding(result).markdown
    assert number(own["value"].item(), 3) in shown
    schema, none = leaks.AUDIT_SCHEMA, (None,) * 5
    clean = [("momentum", 10, 0, *none), ("age", 10, 0, *none)]
    planted = [("momentum", 10, 4, START.to_pydatetime(), "CO", "t1", 1.0, 2.0), clean[1]]
    good, bad = (
        evaluation.audit_finding(pl.DataFrame(rows, schema, orient="row"), 3)
        for rows in (clean, planted)
    )
    assert "20 valores" in good.markdown and good.kind == "finding"
    assert bad.markdown == (
        "**Alguna variable sabe el futuro o no es la que se entrenó**: «impulso del puesto». "
        "CO, t1, 2026-01-05 00:00: en la tabla 1.0, sin el futuro 2.0."
    )
    assert bad.kind == "warning"
    nothing = [("momentum", 0, 0, *none)]
    assert (
        evaluation.audit_finding(pl.DataFrame(nothing, schema, orient="row"), 0).kind == "warning"
    )
    told = pl.DataFrame([("momentum", 0.5, 0.4, 0.35, False)], leaks.ALARM_SCHEMA, orient="row")
    assert "«impulso del puesto»" in evaluation.alarm_finding(told).markdown
    assert evaluation.alarm_finding(told.with_columns(suspect=True)).kind == "warning"


def test_the_sentences_on_rises_are_the_runs_numbers() -> None:
    result = tiny_model.result()
    scored = {
        (row["model"], row["metric"]): row
        for row in result.metrics.filter(split="test", slice="all").to_dicts()
    }
    own, chance = scored["dynamics", "rise_ap"], scored["chance", "rise_ap"]
    said = early.ranking_finding(result, "rise").markdown
    assert f"**{interval(own['value'], own['low'], own['high'])}**" in said
    assert f"subieron el {percent(chance['value'])}" in said
    assert f"{number(own['value'] / chance['value'], 1)} veces más" in said
    right = scored["dynamics", "fall_precision_at_10"]
    assert (
        f"cayeron **{number(100 * right['value'])}**"
        in early.lists_finding(result, "fall").markdown
    )
    costs = [scored["dynamics", f"rise_cost_at_{k}"]["value"] for k in (0, 5, 10, 20)]
    assert early.cost_table(result).rows[0][1:] == tuple(number(100 * c, 1) for c in costs)
    facts = early.facts(result)["rises"]
    assert facts["value"] == scored["dynamics", "rise_precision_at_10"]["value"]
    assert facts["chance"] == scored["chance", "rise_precision_at_10"]["value"]


def test_where_nothing_rises_the_sentences_say_so() -> None:
    result = tiny_model.result()
    nothing = pl.when(pl.col("metric").str.starts_with("rise_")).then(None).otherwise("value")
    still = replace(result, metrics=result.metrics.with_columns(value=nothing))
    assert early.ranking_finding(still, "rise").kind == "warning"
    assert "no hay canción que suba" in early.ranking_finding(still, "rise").markdown
    assert early.facts(still) == {}
    assert early.scores(still, "rise").empty and early.groups(still).empty
    assert early.groups_finding(early.groups(still)).kind == "warning"
    assert early.lead_table(still, LOCAL).rows == ()
    assert early.lead_finding(still, LOCAL).kind == "warning"
    assert [row[0] for row in early.cost_table(still).rows] == ["las que caen"]


def scores(rows: list[tuple[int, str, float | None]]) -> pd.DataFrame:
    return pd.DataFrame(
        [(START + timedelta(hours=hour), "CO", track, f"La {track}", score)
         for hour, track, score in rows],
        columns=["time", "country", "track_id", "track_name", "score"],
    )  # fmt: skip


def test_the_question_is_drawn_with_a_track_that_rose():
    at_once = params.load("local", horizon=2)
    rows = [(hour, "a", 90.0) for hour in range(9)] + [(hour, "b", 20.0) for hour in range(6)]
    rows += [(6, "b", None), (7, "b", 80.0), (8, "b", 85.0)]
    drawn = business.question_figure(scores(rows), at_once)
    assert "«La b» en Colombia" in drawn.alt
    assert "hasta el 5 ene 2026, 05:00, en que es 20" in drawn.alt
    assert "2 horas después" in drawn.alt and "2 horas después" in drawn.svg()
    nothing = business.question_figure(scores([(0, "a", 10.0)]), at_once)
    assert "Todavía no hay" in nothing.markdown
    told = business.baseline_finding(0.75, 0.5, at_once).markdown
    assert "el 75\u00a0%" in told and "0,500" in told and "2 horas después" in told


def test_figures_choose_by_the_profile_and_by_what_there_is():
    daily = volume()
    weekly = daily.assign(time=daily["time"] + (daily["time"] - START) * 24 * 7)
    assert eda.rhythm_figure(daily, LOCAL).title == "El ritmo de la semana"
    assert eda.rhythm_figure(weekly, CHARTS).title == "El ritmo del año"
    assert "El mes con más" in eda.rhythm_finding(weekly, CHARTS.windows).markdown
    assert "«reproducción»" in eda.types_figure(daily, LOCAL).markdown
    both = pd.concat([daily, daily.assign(event_type="skip")])
    assert "salto" in eda.types_figure(both, LOCAL).alt
    assert eda.overlap_figure(pd.DataFrame([[1.0]], ["CO"], ["CO"]), LOCAL) is None
    assert eda.life_figure(pd.DataFrame({"age": []}), LOCAL) is None
    assert eda.lead_figure(pd.DataFrame({"lag": []}), LOCAL) is None
    assert evaluation.effects_figure({}, LOCAL) is None
    dead = pd.DataFrame({"reason": ["not_json"], "records": [3]})
    assert "no es JSON, 3" in quality.reasons_figure(dead, LOCAL).alt
    assert "Ninguno" in quality.reasons_figure(dead.head(0), LOCAL).markdown


def test_the_ranges_are_drawn_where_they_are():
    settings = tiny_model.settings()
    split = dataset.split(dataset.join(*tiny_model.data(), settings.model), settings)
    frame = modeling.ranges_frame(split, settings)
    assert list(frame["rows"]) == [split.train.height, split.validation.height, split.test.height]
    assert frame["label"].iloc[0] <= frame["first"].iloc[1] == split.validation_start
    assert frame["label"].iloc[1] <= frame["first"].iloc[2] == split.test_start
    drawn = model_figures.ranges(frame, "simulator")
    assert f"entrenamiento, {number(split.train.height)} filas del 5 ene 2026" in drawn.alt


def test_days_under_an_axis_have_their_year_where_it_matters():
    near = [START, START + timedelta(days=3)]
    assert numbers.short_days(near) == ["5 ene", "8 ene"]
    assert numbers.short_days([*near, START + timedelta(days=400)])[::2] == [
        "5 ene 2026", "9 feb 2027"
    ]  # fmt: skip


def test_an_added_input_is_judged_by_its_interval():
    def found(low: float, high: float) -> str:
        rows = [("without", 0.5, 0.4, 0.6), ("with", 0.6, 0.5, 0.7), ("difference", 0.1, low, high)]
        frame = pl.DataFrame(rows, ["name", "value", "low", "high"], orient="row")
        return modeling.added_finding(frame).markdown

    assert "ayuda" in found(0.01, 0.2)
    assert "estorba" in found(-0.2, -0.01)
    assert "podría ser azar" in found(-0.1, 0.2)


def test_what_differs_without_beam_is_a_warning():
    assert preparation.same_finding(True, 1200).markdown.startswith("Las 1.200 filas son iguales")
    assert preparation.same_finding(False, 1200).kind == "warning"


def test_the_worst_misses_are_the_least_likely_of_each_track():
    result, (features, _) = tiny_model.result(), tiny_model.data()
    misses = evaluation.worst_misses(result, features, most=4)
    own = result.of(result.family)
    column = {"Alta": "p_alta", "Media": "p_media", "Baja": "p_baja"}
    given = [
        row[column[row["level"]]] for row in own.to_dicts() if row["level"] != row["predicted"]
    ]
    assert misses["probability"].is_sorted() and misses["probability"][0] == min(given)
    assert misses.select("country", "track_id").is_unique().all() and misses.height == 4
    assert (misses["level"] != misses["predicted"]).all()
    assert misses["track_name"].to_list() == misses["track_id"].to_list()  # as it is in that world
    settings = tiny_model.settings()
    drawn = evaluation.misses_figure(misses, features, settings)
    worst = misses.row(0, named=True)
    assert f"dijo {worst['predicted']}, fue {worst['level']}" in drawn.alt
    assert len(drawn.figure.axes) == 4 and "2 horas" in drawn.svg()
    told = evaluation.misses_finding(misses).markdown
    order = ["Alta", "Media", "Baja"]
    rose = sum(order.index(r["level"]) < order.index(r["predicted"]) for r in misses.to_dicts())
    assert told.startswith(f"De los 4 fallos más seguros, en {rose} la canción acabó más arriba")
    assert evaluation.misses_figure(misses.clear(), features, settings) is None
    assert "no hay ningún fallo" in evaluation.misses_finding(misses.clear()).markdown


def test_what_is_recorded_of_an_evaluation_is_what_it_found():
    result = tiny_model.result()
    audited = pl.DataFrame({"compared": [5, 6], "different": [0, 2]})
    found = evaluation.recorded(result, verdict(True, False), audited)
    assert found["macro_f1"] == result.test_scores()["macro_f1"]
    assert found["rows"] == result.of(result.family).height
    assert (found["leak_compared"], found["leak_differences"]) == (11, 2)
    assert found["approved"] is False
    assert 0 < found["average_precision_chance"] < found["average_precision"] <= 1


def test_effects_are_one_table_with_their_intervals():
    panel = pd.DataFrame({"x": [1], "value": [0.2], "low": [0.1], "high": [0.3], "rows": [9]})
    whole = evaluation.effects_data({"Hora": panel, "País": panel.assign(x="CO", code="CO")})
    assert list(whole["variable"]) == ["Hora", "País"] and list(whole["low"]) == [0.1, 0.1]
    assert evaluation.effects_data({}).empty
