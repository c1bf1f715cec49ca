"""The numbers of the runs rendered into one folder, and how the last two differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...config.errors import UserError
from ...config.params import Params
from ..es import interval, number, percent

FILE = "history.jsonl"
KEPT = 20
_FACTS = ("macro_f1", "accuracy", "macro_f1_persistence", "accuracy_persistence", "rises",
          "cost_saving", "approved", "audit_holds", "audit_records")  # fmt: skip


def remember(
    folder: Path, facts: Mapping[str, Any], params: Params, made: str
) -> list[dict[str, Any]]:
    """Add this run to the folder's history, or replace it there, and return the history.

    Args:
        folder: of the rendered pages.
        facts: what the notebooks recorded.
        params: of the run; values that are places (paths, addresses) are left out.
        made: when the run ended, in words; the same run rendered again is not another.

    Returns:
        Runs with ``made``, ``facts`` and ``params``, this one last, `KEPT` at most.

    Raises:
        UserError: the history cannot be read or written.
    """
    path = folder / FILE
    run = {
        "made": made,
        "facts": {name: facts[name] for name in _FACTS if name in facts},
        "params": {name: value for name, value in params.flat().items() if "/" not in str(value)},
    }
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        runs = [r for r in map(json.loads, lines) if r["made"] != made]
        runs = [*runs, run][-KEPT:]
        folder.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in runs)
        path.write_text(text, encoding="utf-8")
    except (OSError, json.JSONDecodeError, KeyError) as error:
        raise UserError(
            f"No se puede leer o escribir {FILE}, con las ejecuciones anteriores: {error}. "
            "Bórralo para empezar de nuevo."
        ) from error
    return runs


def last(folder: Path) -> dict[str, Any]:
    """Return the facts of the last run that was rendered into a folder; none without one."""
    path = folder / FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return dict(json.loads(lines[-1])["facts"]) if lines else {}


def compare(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the comparison page shows: the last run beside the one before it.

    Args:
        runs: of `remember`. Runs that did not reach the evaluation are not compared.

    Returns:
        ``rows`` (empty with nothing to compare), ``changed`` parameters, ``before`` (when),
        ``all`` runs, the newest first, and ``sentence``: what changed, or None.
    """
    judged = [run for run in runs if "macro_f1" in run["facts"]]
    if len(judged) < 2 or judged[-1] is not runs[-1]:
        return {"rows": [], "sentence": None}
    before, now = judged[-2:]
    rows = []
    for key, name in (("macro_f1", "Macro-F1"), ("accuracy", "Exactitud")):
        if key in before["facts"] and key in now["facts"]:
            a, b = before["facts"][key], now["facts"][key]
            rows.append((name, _score(a), _score(b), _words(a, b)))
    for key, name in (("cost_saving", "Ahorro de coste"), ("audit_records", "Registros")):
        if key in before["facts"] and key in now["facts"]:
            a, b = before["facts"][key], now["facts"][key]
            write = percent if key == "cost_saving" else number
            words = "igual" if a == b else "sube" if b > a else "baja"
            rows.append((name, write(a), write(b), words))
    old, new = before["params"], now["params"]
    changed = [
        (name, _value(old[name]), _value(new[name]))
        for name in sorted(old.keys() & new.keys())  # others came or went with the code
        if old[name] != new[name]
    ]
    every = [
        (
            run["made"],
            _score(run["facts"]["macro_f1"]),
            _score(run["facts"]["accuracy"]) if "accuracy" in run["facts"] else number(None),
            "sí" if run["facts"].get("approved") else "no",
        )
        for run in reversed(judged)
    ]
    return {
        "rows": rows,
        "changed": changed,
        "before": before["made"],
        "all": every,
        "sentence": _sentence(before, now, changed),
    }


def _sentence(
    before: Mapping[str, Any], now: Mapping[str, Any], changed: Sequence[tuple[str, str, str]]
) -> str:
    old, new = before["facts"]["macro_f1"], now["facts"]["macro_f1"]
    values = [number(score["value"], 3) for score in (old, new)]
    if values[0] == values[1]:
        what = f"el macro-F1 sigue en {values[1]}"
    else:
        what = f"el macro-F1 pasa de {values[0]} a {values[1]} ({_words(old, new)})"
    if not changed:
        why = "con los mismos parámetros"
    elif len(changed) == 1:
        ((name, was, is_),) = changed
        why = f"y cambió «{name}», de {was} a {is_}"
    else:
        why = f"y cambiaron {number(len(changed))} parámetros"
    return f"Desde la ejecución anterior ({before['made']}), {what}, {why}."


def _score(score: Mapping[str, float]) -> str:
    return interval(score["value"], score["low"], score["high"])


def _words(before: Mapping[str, float], now: Mapping[str, float]) -> str:
    if before == now:
        return "igual"
    if now["low"] > before["high"]:
        return "mejor: los intervalos no se solapan"
    if now["high"] < before["low"]:
        return "peor: los intervalos no se solapan"
    return "sin diferencia clara: los intervalos se solapan"


def _value(value: Any) -> str:
    if value is None:
        return number(None)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "sí" if value else "no"
    if isinstance(value, int | float):
        return number(value, 0 if float(value).is_integer() else 3)
    return str(value)
