"""Phase 5: the held-out range. What the model is worth, where, at what cost, and the verdict."""

from __future__ import annotations

from typing import Any

import pandas as pd
import polars as pl

from ...config.params import Params
from ...domain import labels
from ...domain.labels import LEVELS
from ...domain.schemas import PROBABILITIES, ROW_KEY
from ...model import effects, metrics
from ...model.dataset import thresholds
from ...model.gate import Verdict
from ...model.predictor import Predictor
from ...model.training_result import TrainingResult
from ..es import country, duration, gate, interval, join, model_input, moment, number, percent
from ..es.names import EVENT_TYPE_NAMES
from ..figures import model as figures
from ..figures.style import Plot
from . import early
from .modeling import NAMES, score_of
from .show import Facts, Table, Text, listing


def test_rows(rows: pl.DataFrame, result: TrainingResult) -> pl.DataFrame:
    """Return the labelled rows of the run's test range."""
    return rows.join(
        result.of(result.family).select(ROW_KEY),
        on=ROW_KEY,
        how="semi",
    )


def opening(result: TrainingResult) -> Text:
    """Say what the held-out range is."""
    b = result.boundaries
    start, end = (pd.Timestamp(b[name]) for name in ("test_start", "test_end"))
    return Text(
        f"La prueba son **{number(int(b['test_rows']))} filas** con etiquetas hasta el "
        f"{moment(end)}. Empieza el {moment(start)}, y el modelo no ha visto nada posterior al "
        f"{moment(pd.Timestamp(b['training_end']))}."
    )


def scores_finding(result: TrainingResult, params: Params) -> Text:
    """Say what the model reaches and by how much it beats persistence."""
    own = score_of(result, result.family, "test")
    right = score_of(result, result.family, "test", "accuracy")
    value, low, high = metrics.difference(
        result.of(result.family), result.of("persistence"), params
    )
    sure = (
        "una ventaja que el azar no explica"
        if low > 0
        else "una diferencia que el azar podría explicar"
    )
    return Text(
        f"Macro-F1 de **{interval(own['value'], own['low'], own['high'])}** y exactitud de "
        f"**{interval(right['value'], right['low'], right['high'])}**. Frente a la persistencia, "
        "en "
        f"las mismas filas: {'+' if value >= 0 else ''}{interval(value, low, high)} de macro-F1, "
        f"{sure}."
    )


def matrices(result: TrainingResult) -> dict[str, pd.DataFrame]:
    """Return the confusion counts of the model and of persistence."""
    return {
        NAMES[model]: metrics.confusion(result.of(model)).to_pandas().set_index("level")
        for model in (result.family, "persistence")
    }


def confusion_finding(counts: pd.DataFrame) -> Text:
    """Say which mistakes are made, the grave one apart."""
    total = counts.to_numpy().sum()
    far = counts.loc["Alta", "Baja"] + counts.loc["Baja", "Alta"]
    wrong = total - sum(counts.loc[level, level] for level in LEVELS)
    missed = 1 - counts.loc["Alta", "Alta"] / max(counts.loc["Alta"].sum(), 1)
    return Text(
        f"De cada cien errores, {number(100 * far / max(wrong, 1))} saltan de Alta a Baja o al "
        "revés; "
        f"los demás son de un nivel. Se escapa el {percent(missed, 0)} de las que fueron Alta."
    )


def worst_misses(result: TrainingResult, features: pl.DataFrame, most: int = 10) -> pl.DataFrame:
    """Return the rows of the test range whose level the model thought least likely.

    Args:
        result: of the training run.
        features: that cover its test range.
        most: rows; of a track in a country, only its worst.

    Returns:
        Row key, ``track_name``, ``level`` (what happened), ``predicted``, ``probability`` (what the
        model gave to what happened), the least likely first.
    """
    own = result.of(result.family)
    happened = pl.coalesce(
        pl.when(level=level).then(column)
        for level, column in zip(LEVELS, PROBABILITIES, strict=True)
    )
    ranked = own.filter(pl.col("level") != pl.col("predicted")).select(
        *ROW_KEY, "level", "predicted", happened.alias("probability")
    )
    ranked = ranked.sort("probability", *ROW_KEY)
    chosen = ranked.unique(["country", "track_id"], keep="first", maintain_order=True).head(most)
    names = features.select(*ROW_KEY, "track_name")
    return chosen.join(names, on=ROW_KEY, how="left", maintain_order="left")


def misses_figure(misses: pl.DataFrame, features: pl.DataFrame, params: Params) -> Plot | None:
    """Draw what each of these tracks did before and after, where there is a miss."""
    horizon = params.model.horizon
    back = max(12, 2 * horizon)
    scored = features.select(*ROW_KEY, score=labels.score_of(features.columns))
    panels = {}
    for row in misses.to_dicts():
        windows = pl.DataFrame({"windows": range(-back, horizon + 1)}).with_columns(
            window_start=row["window_start"] + params.windows.window * pl.col("windows"),
        )
        own = scored.filter(country=row["country"], track_id=row["track_id"])
        name = f"{row['track_name'] or row['track_id']}, {country(row['country'])}"
        said = f"dijo {row['predicted']}, fue {row['level']} ({percent(row['probability'], 0)})"
        panels[f"{name}\n{said}"] = windows.join(own, on="window_start", how="left").to_pandas()
    if not panels:
        return None
    ahead = duration(params.windows.window * horizon)
    limits = thresholds(params.model)
    return figures.misses(panels, params.sources.source, limits, horizon, ahead)


def misses_finding(misses: pl.DataFrame) -> Text:
    """Say in which direction the surest misses go."""
    if misses.is_empty():
        return Text("En la prueba no hay ningún fallo.")
    order = {level: place for place, level in enumerate(LEVELS)}
    rose = sum(order[row["level"]] < order[row["predicted"]] for row in misses.to_dicts())
    worst = misses.row(0, named=True)
    return Text(
        f"De los {number(misses.height)} fallos más seguros, en {number(rose)} la canción acabó "
        f"más arriba de lo dicho y en {number(misses.height - rose)}, más abajo. En el peor, el "
        f"modelo daba un {percent(worst['probability'])} a lo que pasó."
    )


def slices(result: TrainingResult) -> pd.DataFrame:
    """Return the model's macro-F1 by country and its F1 by level, for ``figures.model.scores``."""
    own = result.metrics.filter(model=result.family, split="test")
    rows = []
    for row in own.to_dicts():
        kind, _, value = row["slice"].partition(":")
        if kind == "country" and row["metric"] == "macro_f1":
            rows.append((0, country(value), row))
        elif kind == "level" and row["metric"] == "f1":
            rows.append((1, f"nivel {value}", row))
    return pd.DataFrame(
        [(name, r["value"], r["low"], r["high"], r["rows"]) for _, name, r in sorted(
            rows, key=lambda item: (item[0], -item[2]["value"])
        )],
        columns=["name", "value", "low", "high", "rows"],
    )  # fmt: skip


def slices_finding(frame: pd.DataFrame) -> Text:
    """Say where the model is best and worst."""
    places = frame[~frame["name"].str.startswith("nivel ")]
    levels = frame[frame["name"].str.startswith("nivel ")]
    best, worst = places.iloc[0], places.iloc[-1]
    overlap = best["low"] <= worst["high"]
    different = (
        "los intervalos se solapan: no hay un país claramente peor servido"
        if overlap
        else "los intervalos no se solapan: la diferencia es real"
    )
    by_country = (
        f"Por país va de {number(worst['value'], 3)} ({worst['name']}) a "
        f"{number(best['value'], 3)} ({best['name']}); {different}."
        if len(places) > 1
        else f"Solo hay un país, {best['name']}: {number(best['value'], 3)}."
    )
    hard = levels.iloc[-1]
    return Text(
        f"{by_country} El nivel más difícil es "
        f"{hard['name'].removeprefix('nivel ')} (F1 {number(hard['value'], 3)})"
        + (
            ": está en medio, y se confunde por los dos lados."
            if hard["name"] == "nivel Media"
            else "."
        )
    )


def over_time(result: TrainingResult, params: Params) -> pd.DataFrame:
    """Return macro-F1 by block of the model and of persistence."""
    parts = [
        metrics.over_time(result.of(model), params).with_columns(model=pl.lit(NAMES[model]))
        for model in (result.family, "persistence")
    ]
    return pl.concat(parts).to_pandas()


def over_time_finding(frame: pd.DataFrame) -> Text:
    """Say whether the advantage lasts."""
    wide = frame.pivot_table(index="time", columns="model", values="macro_f1")
    model = next(name for name in frame["model"] if name != NAMES["persistence"])
    ahead = (wide[model] > wide[NAMES["persistence"]]).sum()
    half = len(wide) // 2
    change = wide[model].iloc[half:].mean() - wide[model].iloc[:half].mean() if half else 0.0
    trend = "baja" if change < -0.01 else "sube" if change > 0.01 else "se mantiene"
    return Text(
        f"El modelo queda por encima de la persistencia en {number(ahead)} de {number(len(wide))} "
        f"tramos. Entre la primera mitad de la prueba y la segunda, {trend} "
        f"({'+' if change >= 0 else ''}{number(change, 3)})."
    )


_WEAK = {
    "track:seen": "canciones ya conocidas",
    "track:unseen": "canciones nunca oídas allí",
    "history:some": "con historia",
    "history:none": "sin historia",
    "part:1": "primer tercio de la prueba",
    "part:2": "segundo tercio",
    "part:3": "último tercio",
}
"""Slices of `model.weaknesses` and how a reader knows them."""


def weak_slices(result: TrainingResult) -> pd.DataFrame:
    """Return the model's macro-F1 where it may be weak, for ``figures.model.scores``."""
    own = result.metrics.filter(model=result.family, split="test", metric="macro_f1")
    found = {row["slice"]: row for row in own.to_dicts()}
    rows = [
        (name, r["value"], r["low"], r["high"], r["rows"])
        for slice_, name in _WEAK.items()
        if (r := found.get(slice_))
    ]
    return pd.DataFrame(rows, columns=["name", "value", "low", "high", "rows"])


def weak_finding(result: TrainingResult) -> Text:
    """Say where the model should be believed less."""
    frame = weak_slices(result).set_index("name")
    whole = float(score_of(result, result.family, "test")["value"])
    weak = [
        f"{name} ({number(row['value'], 3)}, {number(int(row['rows']))} filas)"
        for name, row in frame.iterrows()
        if row["high"] < whole
    ]
    unknown = [name for name in _WEAK.values() if name not in frame.index]
    said = (
        f"Frente a {number(whole, 3)} en el conjunto, cae claramente en {join(weak)}."
        if weak
        else f"En ninguno de estos grupos cae claramente por debajo de {number(whole, 3)}."
    )
    absent = f" No hubo filas de: {join(unknown)}." if unknown else ""
    return Text(
        f"{said}{absent} Está escrito en la ficha del modelo, con lo demás que no puede hacer.",
        "warning" if weak else "finding",
    )


def calibration_finding(result: TrainingResult) -> Text:
    """Say whether the announced probabilities held in the test range."""
    seen = score_of(result, result.family, "test", "ece")
    before = score_of(result, result.family, "validation", "ece")
    return Text(
        f"En la prueba, el error medio de calibración es "
        f"{interval(seen['value'], seen['low'], seen['high'])}; en validación, donde se ajustó, "
        f"era {number(before['value'], 3)}."
    )


def audit_finding(audited: pl.DataFrame, windows: int) -> Text:
    """Say whether some input knows the future, from `model.leaks.audit`."""
    compared = int(audited["compared"].sum())
    wrong = audited.filter(pl.col("different") > 0)
    if wrong.is_empty() and compared:
        return Text(
            f"{number(compared)} valores de {number(audited.height)} variables, en "
            f"{number(windows)} ventanas al azar, recalculados con el registro cortado donde acaba "
            "la ventana: **todos iguales, bit a bit**. Ninguna variable sabe nada posterior."
        )
    names = join(f"«{model_input(name)}»" for name in wrong["input"].head(5))
    return Text(
        f"**Alguna variable sabe el futuro o no es la que se entrenó**: {names}. "
        f"{_example(wrong.row(0, named=True)) if wrong.height else 'no había qué comparar'}.",
        "warning",
    )


def _example(row: dict[str, Any]) -> str:
    return (
        f"{row['country']}, {row['track_id']}, {row['window_start']:%Y-%m-%d %H:%M}: "
        f"en la tabla {row['stored']}, sin el futuro {row['recomputed']}"
    )


def alarm_finding(found: pl.DataFrame) -> Text:
    """Say whether some input tells more than its age explains, from `model.leaks.alarm`."""
    top = found.row(0, named=True)
    suspect = found.filter("suspect")["input"].to_list()
    if suspect:
        return Text(
            f"**Alarma**: {join(f'«{model_input(name)}»' for name in suspect)} dice mucho más del "
            "nivel que una ventana antes. Puede saber la respuesta: hay que mirar de dónde sale.",
            "warning",
        )
    return Text(
        "La que más pierde al atrasarla una ventana es "
        f"«{model_input(top['input'])}»: sola, explica el "
        f"{number(100 * top['now'], 1)} % de la incertidumbre del nivel; una ventana antes, el "
        f"{number(100 * top['earlier'], 1)} %, y dos, el {number(100 * top['before'], 1)} %. Se "
        "apaga poco a poco, como se apaga lo que solo sabe el pasado."
    )


def effect_panels(
    predictor: Predictor, rows: pl.DataFrame, params: Params
) -> tuple[dict[str, pd.DataFrame], dict[str, float]]:
    """Return how the mean probability of Alta moves with hour, searches and country.

    Args:
        predictor: a model of any family; variables that it does not read have no panel.
        rows: labelled rows of the test range.
        params: seed and bootstrap.

    Returns:
        Panels for ``figures.model.effects`` and, by the same names, how far each variable moves
        the probability (largest less smallest). A variable with one value in the data is left out.
    """
    found: dict[str, pl.DataFrame] = {}
    if rows["hour_of_day"].n_unique() > 1 and "hour_of_day" in predictor.features:
        found["Hora (UTC)"] = effects.partial_dependence(
            predictor, rows, effects.hours(rows), params
        )
    shares = rows["event_type_search_result"]
    if shares.gt(0).any():
        usual = shares.quantile(0.99) or 0
        shown = [s for s in effects.SEARCH_SHARES if s <= usual]
        found["Parte de búsquedas"] = effects.partial_dependence(
            predictor, rows, effects.search_shares(shown), params
        )
    codes = [code for code in params.sources.countries if code in set(rows["country"])]
    if len(codes) > 1:
        found["País"] = effects.partial_dependence(
            predictor, rows, effects.countries(codes, params.windows.model_countries), params
        )
    panels, spreads = {}, {}
    for name, effect in found.items():
        alta = effect.filter(level="Alta").to_pandas()
        if name == "País":
            alta["code"] = alta["x"]
            alta["x"] = alta["x"].astype(object)
        panels[name], spreads[name] = alta, effects.spread(effect)
    return panels, spreads


def effects_figure(panels: dict[str, pd.DataFrame], params: Params) -> Plot | None:
    """Draw what the model makes of each variable, where one varies."""
    unit = "probabilidad media de Alta, con las demás variables como están"
    source = params.sources.source
    return figures.effects(panels, source, "Según el modelo", unit) if panels else None


def raw_panels(rows: pl.DataFrame, params: Params) -> dict[str, pd.DataFrame]:
    """Return the share of rows that became Alta by hour, event type and country, as observed."""
    panels = {}
    if rows["hour_of_day"].n_unique() > 1:
        panels["Hora (UTC)"] = effects.by_hour(rows, params).filter(level="Alta").to_pandas()
    kinds = effects.by_event_type(rows, params).filter(level="Alta").to_pandas()
    if len(kinds) > 1:
        kinds["x"] = [EVENT_TYPE_NAMES[x] for x in kinds["x"]]
        panels["Con algún evento de tipo"] = kinds
    places = effects.by_country(rows, params).filter(level="Alta").to_pandas()
    places["code"] = places["x"]
    panels["País"] = places
    return panels


def effects_finding(spreads: dict[str, float]) -> Text:
    """Answer the case study's own question in words."""
    if not spreads:
        return Text(
            "En estos datos ni la hora ni el tipo de evento varían: su influencia no se puede "
            "medir aquí."
        )
    ordered = sorted(spreads.items(), key=lambda item: -item[1])
    said = join(f"{_lower(name)} ({number(100 * size, 1)} puntos)" for name, size in ordered)
    top = ordered[0]
    missing = [n for n in ("Hora (UTC)", "Parte de búsquedas", "País") if n not in spreads]
    absent = (
        f" De {join(_lower(name) for name in missing)} no se puede decir nada: aquí no varía."
        if missing
        else ""
    )
    weight = (
        "Son efectos pequeños: así se entiende que las variables del caso de estudio, solas, se "
        "queden cortas."
        if top[1] < 0.10
        else f"«{top[0]}» sí mueve la predicción por sí sola."
    )
    return Text(
        "Cambiando solo esa variable y dejando las demás como están, la probabilidad media de "
        f"Alta se mueve, de un extremo a otro, según: {said}. {weight}{absent} Es lo que el "
        "modelo ha aprendido, no una prueba de causa."
    )


def costs(result: TrainingResult) -> dict[str, float]:
    """Return the cost per hundred decisions of following each model."""
    found = result.metrics.filter(split="test", slice="all", metric="cost")
    by_model = dict(found.select("model", "value").iter_rows())
    return {NAMES[m]: 100 * by_model[m] for m in NAMES if m in by_model}


def costs_finding(values: dict[str, float], family: str) -> Text:
    """Say what the model saves."""
    own, without = values[NAMES[family]], values[NAMES["persistence"]]
    saving = 1 - own / without if without else 0.0
    verb = "ahorra" if saving >= 0 else "cuesta de más"
    return Text(
        f"Con los costes de la fase 1, cada cien decisiones cuestan {number(own, 1)} unidades con "
        "el "
        f"modelo y {number(without, 1)} con la persistencia: {verb} un {percent(abs(saving), 0)}."
    )


def effects_data(panels: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the panels of the effects as one table, with their intervals."""
    columns = ["variable", "x", "value", "low", "high", "rows"]
    parts = [frame.assign(variable=name)[columns] for name, frame in panels.items()]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def gate_table(verdict: Verdict) -> Table:
    """Return the gate's checks."""
    return listing(
        "Los criterios de la fase 1, uno por uno",
        [(gate.passes(check), gate.reason(check)) for check in verdict.checks],
        ("Pasa", "Por qué"),
    )


def verdict(found: Verdict) -> Text:
    """Say in words whether the model may be deployed."""
    return Text(gate.summary(found), "decision" if found.approved else "warning")


def facts(result: TrainingResult, verdict: Verdict) -> Facts:
    """Return what the index page opens with."""
    values: dict[str, Any] = {
        "approved": verdict.approved,
        "decision": gate.summary(verdict).replace("**", ""),
        "model_card": result.card,
    }
    for metric in ("macro_f1", "accuracy"):
        row = score_of(result, result.family, "test", metric)
        values[metric] = {name: float(row[name]) for name in ("value", "low", "high")}
        for baseline in ("persistence", "majority"):
            found = score_of(result, baseline, "test", metric)
            values[f"{metric}_{baseline}"] = float(found["value"])
    cost = costs(result)
    if cost[NAMES["persistence"]]:
        values["cost_saving"] = 1 - cost[NAMES[result.family]] / cost[NAMES["persistence"]]
    return Facts(values | early.facts(result))


def recorded(
    result: TrainingResult, verdict: Verdict, audited: pl.DataFrame
) -> dict[str, float | bool | None]:
    """Return the results that the notebook records: what the model is worth, and that it is fair.

    Args:
        result: of the training run.
        verdict: of the gate.
        audited: of `model.leaks.audit`.
    """
    test = result.metrics.filter(split="test", slice="all")
    found = {(row["model"], row["metric"]): row["value"] for row in test.iter_rows(named=True)}
    own = result.family
    return {
        "rows": int(result.boundaries["test_rows"]),
        "macro_f1": found[own, "macro_f1"],
        "accuracy": found[own, "accuracy"],
        "macro_f1_persistence": found["persistence", "macro_f1"],
        "average_precision": found.get((own, "rise_ap")),
        "average_precision_chance": found.get(("chance", "rise_ap")),
        "calibration_error": found[own, "ece"],
        "leak_compared": int(audited["compared"].sum()),
        "leak_differences": int(audited["different"].sum()),
        "approved": verdict.approved,
    }


def _lower(name: str) -> str:
    return name[0].lower() + name[1:]
