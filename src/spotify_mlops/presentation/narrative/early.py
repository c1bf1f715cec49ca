"""Phase 5: how well the model sees rises and falls coming, beside orders that nobody learns."""

from __future__ import annotations

from typing import Any

import pandas as pd
import polars as pl

from ...config.params import Params
from ...model.early_detection import DIRECTIONS, LIST_SIZES, SHOWN, Direction
from ...model.early_scores import BASELINES
from ...model.training_result import TrainingResult
from ..es import country, duration, interval, number, percent, plural
from ..es.names import ORDER_NAMES
from .show import Table, Text

_VERBS = {"rise": ("suba", "subieron", "subirían"), "fall": ("caiga", "cayeron", "caerían")}
_CHANGES = {"rise": "las que suben", "fall": "las que caen"}
_GROUPS = {"track:seen": "canciones ya conocidas", "track:unseen": "canciones nunca oídas allí"}


def _found(result: TrainingResult, direction: Direction, metric: str) -> pl.DataFrame:
    """Return the rows of a metric on the test range that have a value."""
    name = f"{direction}_{metric}"
    return result.metrics.filter(split="test", metric=name).drop_nulls("value")


def _of(
    result: TrainingResult, direction: Direction, metric: str, model: str, slice_: str = "all"
) -> dict[str, Any] | None:
    rows = _found(result, direction, metric).filter(model=model, slice=slice_)
    return rows.row(0, named=True) if rows.height else None


def scores(result: TrainingResult, direction: Direction, metric: str = "ap") -> pd.DataFrame:
    """Return a metric of each order on the test range, for ``figures.model.scores``."""
    found = _found(result, direction, metric).filter(slice="all")
    names = [name for name in ORDER_NAMES if name in set(found["model"])]
    frame = found.to_pandas().set_index("model").loc[names].reset_index()
    frame.insert(0, "name", [ORDER_NAMES[name] for name in frame["model"]])
    return frame[["name", "value", "low", "high"]]


def lists(result: TrainingResult, direction: Direction) -> pd.DataFrame:
    """Return precision and recall by length of the list, for ``figures.early.lists``."""
    shown = [result.family, "today_score", "logistic", "chance"]
    rows = [
        (measure, ORDER_NAMES[model], k, row["value"], row["low"], row["high"])
        for measure in ("precision", "recall")
        for model in shown
        for k in LIST_SIZES
        if (row := _of(result, direction, f"{measure}_at_{k}", model))
    ]
    columns = ["measure", "order", "k", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def ranking_finding(result: TrainingResult, direction: Direction) -> Text:
    """Say how much better the model's order is than chance and than the best plain one."""
    verb, past, _ = _VERBS[direction]
    own = _of(result, direction, "ap", result.family)
    if own is None:
        return Text(f"En la prueba no hay canción que {verb}: no hay qué medir.", "warning")
    gains = {
        other: row
        for other in BASELINES
        if (row := _of(result, direction, f"ap_over_{other}", result.family))
    }
    other = min(gains, key=lambda name: gains[name]["value"])
    gain = gains[other]
    chance = _of(result, direction, "ap", "chance")
    assert chance is not None
    sure = "una ventaja segura" if gain["low"] > 0 else "una diferencia que puede ser azar"
    return Text(
        f"De {number(own['rows'])} filas que podían hacerlo, {past} el {percent(chance['value'])}: "
        "es lo que acierta quien ordena al azar. La precisión media del modelo es "
        f"**{interval(own['value'], own['low'], own['high'])}**, "
        f"{number(own['value'] / chance['value'], 1)} veces más. El orden que más se le acerca es "
        f"«{ORDER_NAMES[other]}»: le saca {interval(gain['value'], gain['low'], gain['high'])}, "
        f"{sure}.",
        "finding" if gain["low"] > 0 else "warning",
    )


def lists_finding(result: TrainingResult, direction: Direction) -> Text:
    """Say how many of the shown list come true, and how many of all are on it."""
    _, past, said = _VERBS[direction]
    right = _of(result, direction, f"precision_at_{SHOWN}", result.family)
    if right is None:
        return Text("No hay listas que contar.", "warning")
    reached = _of(result, direction, f"recall_at_{SHOWN}", result.family)
    all_of_them = (
        f" En esas listas está el {_share(reached)} de todas las que {past}." if reached else ""
    )
    return Text(
        f"De cada cien que están entre las {SHOWN} primeras de su país y ventana, y por tanto "
        f"dijimos que {said}, {past} **{number(100 * right['value'])}** "
        f"({_share(right)}).{all_of_them}"
    )


def groups(result: TrainingResult) -> pd.DataFrame:
    """Return the precision of the list of rises by country, and for new and known tracks."""
    found = _found(result, "rise", f"precision_at_{SHOWN}").filter(model=result.family)
    rows = []
    for row in found.sort("value", descending=True).to_dicts():
        kind, _, value = row["slice"].partition(":")
        name = country(value) if kind == "country" else _GROUPS.get(row["slice"])
        if name:
            rows.append((kind, name, row["value"], row["low"], row["high"], row["rows"]))
    columns = ["kind", "name", "value", "low", "high", "rows"]
    return pd.DataFrame(sorted(rows, key=lambda row: row[0]), columns=columns)


def groups_finding(frame: pd.DataFrame) -> Text:
    """Say in which country the list is right most and least often."""
    places = frame[frame["kind"] == "country"]
    if places.empty:
        return Text("No hay países que comparar.", "warning")
    best, worst = places.iloc[0], places.iloc[-1]
    different = (
        "los intervalos se solapan: puede ser azar"
        if best["low"] <= worst["high"]
        else "los intervalos no se solapan: la diferencia es real"
    )
    return Text(
        f"La lista acierta entre el {percent(worst['value'])} ({worst['name']}) y el "
        f"{percent(best['value'])} ({best['name']}); {different}. Depende también de cuántas "
        "suben en cada país: donde suben pocas, acertar es más difícil."
    )


def lead_table(result: TrainingResult, params: Params) -> Table:
    """Return how many arrivals each order had on its list, and since when."""
    rows = []
    for model in (result.family, "today_score", "momentum"):
        for k in LIST_SIZES:
            foreseen = _of(result, "rise", f"foreseen_at_{k}", model)
            if foreseen is None:
                continue
            lead = _of(result, "rise", f"lead_at_{k}", model)
            rows.append(
                (
                    ORDER_NAMES[model],
                    number(k),
                    _share(foreseen),
                    interval(lead["value"], lead["low"], lead["high"], 1) if lead else number(None),
                    _time(lead["value"], params) if lead else number(None),
                )
            )
    return Table(
        "De las que llegaron a Alta por primera vez, cuántas estaban en la lista hasta entonces",
        ("Orden", "Lista de", "Estaban", "Desde hacía (ventanas)", "Es decir"),
        tuple(rows),
        (False, True, True, True, True),
    )


def lead_finding(result: TrainingResult, params: Params) -> Text:
    """Say since when a track was on the list when it arrived."""
    foreseen = _of(result, "rise", f"foreseen_at_{SHOWN}", result.family)
    if foreseen is None:
        return Text("Ninguna canción llegó a Alta por primera vez en la prueba.", "warning")
    lead = _of(result, "rise", f"lead_at_{SHOWN}", result.family)
    came = plural(foreseen["rows"], "canción llegó", "canciones llegaron")
    when = (
        f", sin salir de ellas desde, de media, {number(lead['value'], 1)} ventanas antes "
        f"({_time(lead['value'], params)})"
        if lead
        else ""
    )
    return Text(
        f"En la prueba {came} a Alta por primera vez en su país después de verse sin serlo. "
        f"De ellas, el {_share(foreseen)} estaba ya entre las {SHOWN} primeras{when}."
    )


def _costs(result: TrainingResult, direction: Direction) -> dict[int, float]:
    """Return what acting costs a candidate, by length of the list; of none, 0."""
    return {
        k: row["value"]
        for k in (0, *LIST_SIZES)
        if (row := _of(result, direction, f"cost_at_{k}", result.family))
    }


def cost_table(result: TrainingResult) -> Table:
    """Return what acting on lists of each length costs, in the units of phase 1."""
    rows = [
        (_CHANGES[direction], *(number(100 * cost, 1) for cost in costs.values()))
        for direction in DIRECTIONS
        if (costs := _costs(result, direction))
    ]
    return Table(
        "Lo que cuesta actuar según la lista, por cada cien canciones que pueden cambiar",
        ("Lista de", "sin lista", *(f"{k} primeras" for k in LIST_SIZES)),
        tuple(rows),
        (False, *[True] * (1 + len(LIST_SIZES))),
    )


def cost_finding(result: TrainingResult, params: Params) -> Text:
    """Say which length of each list is the cheapest."""
    said = []
    for direction in DIRECTIONS:
        if costs := _costs(result, direction):
            k = min(costs, key=costs.__getitem__)
            best = f"la lista de {k}" if k else "no actuar"
            said.append(f"para {_CHANGES[direction]}, lo más barato es {best}")
    return Text(
        f"Con {number(params.cost.missed_alta, 1)} por una Alta que se escapa y "
        f"{number(params.cost.false_alta, 1)} por una anunciada que no llega: "
        f"{'; '.join(said) or 'no hay listas que contar'}. Otros costes darían otro largo."
    )


def facts(result: TrainingResult) -> dict[str, Any]:
    """Return what the cover and notebook 06 say of the list of rises; empty without a value."""
    own = _of(result, "rise", f"precision_at_{SHOWN}", result.family)
    chance = _of(result, "rise", f"precision_at_{SHOWN}", "chance")
    if own is None or chance is None:
        return {}
    values = {name: float(own[name]) for name in ("value", "low", "high")}
    return {"rises": values | {"chance": float(chance["value"]), "k": SHOWN}}


def _share(row: dict[str, Any]) -> str:
    low, high = row["low"], row["high"]
    range_ = "" if low is None or high is None else f" [{percent(low)}; {percent(high)}]"
    return f"{percent(row['value'])}{range_}"


def _time(windows: float, params: Params) -> str:
    whole = round(windows)
    return duration(params.windows.window * whole) if whole else "menos de una ventana"
