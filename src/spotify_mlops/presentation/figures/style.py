"""What all figures share: colours, fonts, Spanish axes, the source line, alternative text."""

from __future__ import annotations

import functools
import io
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from html import escape
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ..es import compact, number

# Three lightness steps apart, so that they differ in grey and for every kind of colour vision.
LEVEL_COLORS = {"Alta": "#0b6e4f", "Media": "#e0a100", "Baja": "#8a8f98"}

# Okabe and Ito, Color Universal Design (2008), a fixed colour for each of these countries.
COUNTRY_COLORS = {
    "CO": "#e69f00",
    "ES": "#d55e00",
    "MX": "#009e73",
    "US": "#0072b2",
    "AR": "#56b4e9",
    "BR": "#cc79a7",
    "CL": "#6b4c9a",
}
EVENT_TYPE_COLORS = {
    "play": "#0072b2",
    "skip": "#8a8f98",
    "search_result": "#e69f00",
    "recommendation": "#009e73",
    "new_release": "#cc79a7",
}
SHARES = LinearSegmentedColormap.from_list("shares", ["#dfe9f2", "#7fb2d6", "#0a4f80"])
"""Colours of a share between 0 and 1 in a heat map with numbers."""

ACCENT = "#0072b2"
OTHER = "#8a8f98"

# The report replaces these three by CSS variables, so that figures follow light and dark.
INK = "#1f2329"
MUTED = "#646b75"
GRID = "#d7dbe1"

SOURCE_LINES = {
    "simulator": "Fuente: simulador del proyecto",
    "charts": "Fuente: listas semanales Top 200 de Spotify",
    "webapi": "Fuente: Web API de Spotify",
    "prices": "Fuente: precios de lista y cifras medidas del proyecto",
}
SYNTHETIC_LABEL = "DATOS SINTÉTICOS"
NARROW_MIME = "application/vnd.spotify-mlops.narrow+svg"
"""Output type of a figure's form for a phone: JupyterLab shows the other, the report has both."""
_LETTER = 5.2
"""Width of a letter at 8.5 points, in points."""
_BESIDE = 75
"""Points of a figure's width that are not its axes': the names at their left."""
_HEAD, _FOOT = 0.58, 0.30
"""Inches above the axes, with one line of title and one of units, and below them."""

_RC: Any = {
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.facecolor": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.color": MUTED,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


@dataclass(frozen=True)
class _Form:
    """How wide a figure is (inches), how many letters a line of its heads has, and its panels."""

    width: float
    title: int
    units: int
    stacked: bool = False
    """Whether its panels stand one below the other."""


_WIDE = _Form(8.4, 80, 120)
_NARROW = _Form(3.9, 32, 50, stacked=True)
"""Of a phone's width, where a letter of 8 points is read without enlarging."""
_form: ContextVar[_Form] = ContextVar("form", default=_WIDE)


@dataclass(frozen=True)
class Plot:
    """A figure with the sentence that says the same to someone who cannot see it.

    A notebook shows it as SVG; the alternative text is part of the SVG.
    """

    figure: Figure
    title: str
    alt: str
    narrow: Plot | None = None
    """The same for a phone."""

    def svg(self) -> str:
        """Return the figure as an SVG element with ``role="img"`` and a ``<title>``."""
        out = io.StringIO()
        with mpl.rc_context(_RC):
            # No metadata: the same data give the same file.
            FigureCanvasSVG(self.figure).print_svg(
                out, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
            )
        text = out.getvalue()
        text = text[text.index("<svg") :]
        label = escape(self.alt, quote=True)
        head, rest = text.split(">", 1)
        return f'{head} role="img" aria-label="{label}">\n <title>{escape(self.alt)}</title>{rest}'

    def save(self, path: Path, dpi: int = 110) -> None:
        """Write the figure as PNG on white."""
        with mpl.rc_context(_RC):
            FigureCanvasAgg(self.figure)
            self.figure.savefig(path, dpi=dpi, facecolor="white")

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        data = {"image/svg+xml": self.svg(), "text/plain": self.alt}
        if self.narrow is not None:
            data[NARROW_MIME] = self.narrow.svg()
        return data, {"image/svg+xml": {"alt": self.alt}}


_Given = ParamSpec("_Given")


def in_two_forms(draw: Callable[_Given, Plot]) -> Callable[_Given, Plot]:
    """Make a function draw its figure twice: as wide as a page, and for a phone."""

    @functools.wraps(draw)
    def drawn(*args: _Given.args, **kwargs: _Given.kwargs) -> Plot:
        before = _form.set(_NARROW)
        try:
            narrow = draw(*args, **kwargs)
        finally:
            _form.reset(before)
        return replace(draw(*args, **kwargs), narrow=narrow)

    return drawn


def is_narrow() -> bool:
    """Tell whether what is drawn now is for a phone."""
    return _form.get() is _NARROW


def has_room(texts: int, letters: int) -> bool:
    """Tell whether so many texts of so many letters fit side by side in a figure's axes."""
    return texts * letters * _LETTER <= _axes_width()


def _axes_width() -> float:
    return 72 * _form.get().width - _BESIDE


def folded(names: Iterable[str], letters: int = 20) -> list[str]:
    """Return names of rows; for a phone, in lines of so many letters at most."""
    return [textwrap.fill(name, letters) if is_narrow() else name for name in names]


@contextmanager
def drawing():
    """Apply the style while a figure is drawn, and only then."""
    with mpl.rc_context(_RC):
        yield


def canvas(
    title: str,
    subtitle: str,
    source: str,
    *,
    panels: int = 1,
    columns: int = 1,
    height: float = 3.6,
    share: bool = False,
) -> tuple[Figure, list[Axes]]:
    """Return a figure with its title, its units line and its source line, and the empty axes.

    Args:
        title: what the figure says, in a few words.
        subtitle: quantity and unit.
        source: ``params.source``; the simulator's figures are labelled as synthetic.
        panels: how many axes.
        columns: how many of them stand side by side, where the page is wide.
        height: of the wide form, in inches.
        share: the axes share both scales.
    """
    form = _form.get()
    titles, units = (
        textwrap.wrap(text, letters)
        for text, letters in ((title, form.title), (subtitle, form.units))
    )
    rows = -(-panels // columns)
    head = _HEAD + 0.20 * (len(titles) - 1) + 0.15 * (len(units) - 1)
    body = height - _HEAD - _FOOT
    if form.stacked:
        body *= panels / rows * (0.85 if columns > 1 else 1)
        rows, columns = panels, 1
    height = head + body + _FOOT
    figure = Figure(figsize=(form.width, height))
    # In inches from the edges, so that titles and source lines sit alike in every figure.
    bottom = _FOOT / height
    figure.set_layout_engine(
        "constrained",
        rect=(0.005, bottom, 0.985, 1 - head / height - bottom),
        h_pad=0.06,
        w_pad=0.06,
    )
    grid = figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share).flat
    axes = list(grid)
    for spare in axes[panels:]:
        spare.set_visible(False)
    left, right = 0.1 / form.width, 1 - 0.1 / form.width
    below = 0.34 + 0.20 * (len(titles) - 1)
    for lines, top, size, weight, color in (
        (titles, 0.10, 12, "bold", INK),
        (units, below, 9, "normal", MUTED),
    ):
        figure.text(
            left,
            1 - top / height,
            "\n".join(lines),
            fontsize=size,
            fontweight=weight,
            color=color,
            va="top",
        )
    figure.text(left, 0.07 / height, SOURCE_LINES[source], fontsize=8, color=MUTED, va="bottom")
    if source == "simulator":
        figure.text(
            right,
            0.07 / height,
            SYNTHETIC_LABEL,
            fontsize=8,
            fontweight="bold",
            color=MUTED,
            va="bottom",
            ha="right",
        )
    return figure, axes[:panels]


def country_colors(codes: Iterable[str]) -> dict[str, str]:
    """Return a colour for each country of a figure: its fixed one, or one that the others leave.

    With more countries than colours some come again: a figure names its lines, too.
    """
    shown = sorted(set(codes))
    left = [c for code, c in COUNTRY_COLORS.items() if code not in shown]
    again = cycle(left or COUNTRY_COLORS.values())
    return {code: COUNTRY_COLORS.get(code) or next(again) for code in shown}


def place_of(axes: Axes) -> SubplotSpec:
    """Return where axes of a `canvas` stand among its others."""
    found = axes.get_subplotspec()
    assert found is not None
    return found


def spanish_axis(axis: Any, decimals: int | None = None, *, percent: bool = False) -> None:
    """Write an axis's ticks in Spanish: compact, with fixed decimals, or as percentages."""
    if percent:
        axis.set_major_formatter(FuncFormatter(lambda v, _: f"{number(100 * v, 1, trim=True)} %"))
    elif decimals is None:
        axis.set_major_formatter(FuncFormatter(lambda v, _: compact(v)))
    else:
        axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda v, _: number(v, decimals)))


def write_cells(axes: Axes, shares: np.ndarray, texts: np.ndarray) -> None:
    """Write a text in each cell of a heat map, dark or white by the share under it.

    Args:
        axes: of a heat map drawn with `SHARES` from 0 to 1, one unit a cell.
        shares: (rows, columns); NaN is an empty cell.
        texts: (rows, columns).
    """
    for (row, column), share in np.ndenumerate(shares):
        axes.text(
            column + 0.5,
            row + 0.5,
            "" if np.isnan(share) else str(texts[row, column]),
            color="white" if share > 0.6 else "#1a1a1a",
            fontsize=9.5,
            ha="center",
            va="center",
        )


def label_ends(axes: Axes, labels: Sequence[tuple[str, float, str]], gap: float = 0.07) -> None:
    """Write series' names at the right edge, moved apart where they would overlap.

    Args:
        labels: name, last y value (data units) and colour of each series.
        gap: least distance between two names, as a share of the axes' height.
    """
    low, high = axes.get_ylim()
    to_axes = axes.transScale + axes.transLimits if axes.get_yscale() == "log" else axes.transLimits
    x = axes.get_xlim()[1]
    placed = sorted(
        ([to_axes.transform((x, min(max(y, low), high)))[1], name, color])
        for name, y, color in labels
    )
    for previous, current in pairwise(placed):
        current[0] = max(current[0], previous[0] + gap)
    overflow = placed[-1][0] - 1.0 if placed else 0.0
    for item in placed:
        axes.text(
            1.012,
            item[0] - max(overflow, 0),
            item[1],
            transform=axes.transAxes,
            color=item[2],
            fontsize=9,
            fontweight="bold",
            va="center",
            clip_on=False,
        )


def label_tops(axes: Axes, labels: Sequence[tuple[str, float, str]], below: float) -> None:
    """Write the names of a bar's parts above it, moved apart where they would overlap.

    A line in the part's colour leads from each name to its part. Where the names have no room side
    by side, they are a legend.

    Args:
        axes: of the width of a figure, 0 to 1 from left to right.
        labels: name, middle (data units) and colour of each part, from left to right.
        below: where the lines end, in data units: the upper edge of the bar.
    """
    letter = _LETTER / _axes_width()
    half = [len(name) * letter / 2 for name, _, _ in labels]
    if 2 * sum(half) + 2 * letter * (len(labels) - 1) > 1:
        axes.legend(
            [Patch(color=color) for _, _, color in labels],
            [name for name, _, _ in labels],
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=2,
            fontsize=8.5,
            handlelength=1,
        )
        return
    places = [max(x, width) for (_, x, _), width in zip(labels, half, strict=True)]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + half[i - 1] + half[i] + 2 * letter)
    limit = 1.0
    for i in reversed(range(len(places))):
        places[i] = min(places[i], limit - half[i])
        limit = places[i] - half[i] - 2 * letter
    top = axes.get_xaxis_transform()
    edge = axes.transLimits.transform((0, below))[1]
    for (name, x, color), place in zip(labels, places, strict=True):
        axes.plot([x, place], [edge, 1.06], transform=top, color=color, lw=1.6, clip_on=False)
        axes.text(place, 1.08, name, transform=top, fontsize=8.5, color=INK, ha="center")


def shade_levels(
    axes: Axes, thresholds: tuple[float, float]
) -> tuple[tuple[str, float, float], ...]:
    """Shade the scores of each level; return each with its lowest score and where the next begins.

    Args:
        axes: whose y axis has scores (0-100).
        thresholds: the lowest scores of Alta and Media.
    """
    alta, media = thresholds
    bands = ("Alta", alta, 100), ("Media", media, alta), ("Baja", 0, media)
    for level, low, high in bands:
        axes.axhspan(low, high, color=LEVEL_COLORS[level], alpha=0.13, linewidth=0)
    return bands


def themed(svg: str, prefix: str) -> str:
    """Return an SVG for a page: CSS variables for ink, muted and grid; ids made unique.

    Args:
        prefix: put before each id, since several figures share one page.
    """
    for color, name in ((INK, "ink"), (MUTED, "muted"), (GRID, "line")):
        svg = svg.replace(color, f"var(--{name})")
    # A style element would hold for the whole page.
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: var(--font)", svg)
    return with_ids(svg, prefix)


def with_ids(markup: str, prefix: str) -> str:
    """Put a prefix before each id of SVG or HTML, and where it is referred to in it."""
    markup = re.sub(r'\bid="', f'id="{prefix}', markup)
    markup = re.sub(r'href="#', f'href="#{prefix}', markup)
    return re.sub(r"url\(#", f"url(#{prefix}", markup)
