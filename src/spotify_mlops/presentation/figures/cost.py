"""The figure of what the production form costs, by the rate of events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..es import compact, join, number
from .style import (
    INK,
    Plot,
    canvas,
    drawing,
    in_two_forms,
    label_ends,
    spanish_axis,
)

_COLORS = ("#0072b2", "#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#6b4c9a", "#8a8f98")
"""Okabe and Ito's, one a service."""


@in_two_forms
def by_rate(rates: Sequence[float], layers: Mapping[str, Sequence[float]], limit: float) -> Plot:
    """Draw what each service costs, one on top of the other, and the limit.

    Args:
        rates: events a second, rising.
        layers: by the name of each service, its USD a month at each rate.
        limit: USD a month.
    """
    totals = [sum(costs) for costs in zip(*layers.values(), strict=True)]
    title = "Lo que cuesta al mes, según el ritmo"
    with drawing():
        figure, (axes,) = canvas(title, "USD al mes, por servicio", "prices", height=4.4)
        axes.stackplot(rates, *layers.values(), colors=_COLORS, alpha=0.85, lw=0)
        axes.axhline(limit, color=INK, lw=1, ls="--")
        axes.set(xscale="log", xlabel="eventos por segundo")
        axes.set_xlim(rates[0], rates[-1])
        axes.set_ylim(0, 1.08 * max(*totals, limit))
        spanish_axis(axes.xaxis)
        spanish_axis(axes.yaxis)
        ends, below = [("monthly_limit", limit, INK)], 0.0
        for (name, costs), color in zip(layers.items(), _COLORS, strict=True):
            ends.append((name, below + costs[-1] / 2, color))
            below += costs[-1]
        label_ends(axes, ends, gap=0.06)
    told = join(
        f"{number(total)} USD a {compact(rate)} eventos/s"
        for rate, total in ((rates[0], totals[0]), (rates[-1], totals[-1]))
    )
    return Plot(figure, title, f"{title}. {told}; monthly_limit, {number(limit)} USD.")
