"""Phase 2: what arrived late, twice or unreadable, and what is missing in the rest."""

from __future__ import annotations

import pandas as pd

from ...config.params import Params
from ..es import number, percent, plural
from ..es.names import REASON_NAMES
from ..figures import shares
from ..figures.style import Plot
from .show import Table, Text


def table(arrived: pd.DataFrame, dead_letters: pd.DataFrame) -> Table:
    """Return the quality table.

    Args:
        arrived: one row: ``records``, ``late``, ``duplicates``, and the nulls of ``track_name``
            and ``artist_name``.
        dead_letters: ``reason``, ``records``.
    """
    row = arrived.iloc[0]
    dead = _total(dead_letters)
    everything = int(row["records"]) + dead
    counts = {
        "cartas muertas": dead,
        "llegaron tarde": row["late"],
        "repetidos": row["duplicates"],
        "sin título": row["track_name"],
        "sin artista": row["artist_name"],
    }
    rows = [(name, number(n), percent(n / max(everything, 1), 2)) for name, n in counts.items()]
    return Table(
        f"Calidad de los {number(everything)} registros",
        ("Qué", "Cuántos", "Parte"),
        tuple(rows),
        (False, True, True),
    )


def reasons(dead_letters: pd.DataFrame) -> dict[str, float]:
    """Return dead letters by reason, in Spanish."""
    pairs = zip(dead_letters["reason"], dead_letters["records"], strict=True)
    return {REASON_NAMES.get(reason, reason): float(records) for reason, records in pairs}


def reasons_figure(dead_letters: pd.DataFrame, params: Params) -> Plot | Text:
    """Draw the dead letters by reason; say so where there are none."""
    found = reasons(dead_letters)
    if not found:
        return Text("Ninguno: todos los registros cumplen el contrato.")
    title, unit = "Cartas muertas", "registros apartados, por motivo"
    return shares.bars(found, params.sources.source, title, unit)


def finding(arrived: pd.DataFrame, dead_letters: pd.DataFrame) -> Text:
    """Say what is done with what is wrong."""
    row = arrived.iloc[0]
    dead = _total(dead_letters)
    if not (dead or row["late"] or row["duplicates"]):
        return Text(
            "No llegó nada tarde, repetido ni ilegible. Ningún registro se ha corregido ni "
            "rellenado a mano."
        )
    return Text(
        "Nada se pierde y nada se inventa: "
        f"{plural(dead, 'registro ilegible se guarda', 'registros ilegibles se guardan')} con su "
        f"motivo; {plural(int(row['late']), 'evento tardío queda', 'eventos tardíos quedan')} "
        "fuera de las cuentas, pero a la vista; y de cada evento repetido cuenta uno solo "
        f"({number(row['duplicates'])} de más). La fase 6 lo audita contra Kafka."
    )


def _total(dead_letters: pd.DataFrame) -> int:
    return int(dead_letters["records"].sum()) if len(dead_letters) else 0
