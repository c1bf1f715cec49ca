"""The filters of a board: what is offered, what an address or the page asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any

import msgspec
from dash import html
from werkzeug.exceptions import BadRequest

from ...config.sections import Windows
from ...domain.labels import LEVELS
from ..es import country, duration
from .panel import Board
from .parts import aria
from .watch import Choice

_UNUSED: Mapping[Board, tuple[str, ...]] = {
    "business": ("tiempo",),
    "operations": ("paises", "niveles"),
}
"""What a board does not filter by; it stays in the address, for the other board."""
_WINDOWS = {"24": 24, "168": 168, "todo": None}
_CLOCKS = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "todo": None,
}
_CLOCK_NAMES = {"15m": "15 minutos", "1h": "1 hora", "24h": "24 horas", "todo": "todo"}
_Few = Annotated[list[Annotated[str, msgspec.Meta(max_length=128)]], msgspec.Meta(max_length=64)]
_One = Annotated[list[str], msgspec.Meta(min_length=1, max_length=1)]


class _Chosen(msgspec.Struct, forbid_unknown_fields=True):
    """The filters as the page sends them."""

    paises: _Few
    niveles: _Few
    modelos: _Few
    ventanas: _One
    tiempo: _One


def asked_by(
    query: Mapping[str, Any], countries: Sequence[str], models: Sequence[str]
) -> dict[str, list[str]]:
    """Return what an address asks for; what is not offered is left out."""
    offered = {"paises": countries, "niveles": LEVELS, "modelos": models}
    choice = {name: _listed(query.get(name), values) for name, values in offered.items()}
    choice["ventanas"] = [_one_of(query.get("ventanas"), _WINDOWS)]
    choice["tiempo"] = [_one_of(query.get("tiempo"), _CLOCKS)]
    return choice


def groups(
    windows_params: Windows,
    board: Board,
    countries: Sequence[str],
    models: Sequence[str],
    chosen: Mapping[str, Sequence[str]],
) -> list[html.Div]:
    """Return the groups of buttons; what the board does not filter by is hidden."""
    windows = {
        key: "todo" if count is None else duration(windows_params.window * count)
        for key, count in _WINDOWS.items()
    }
    offers: tuple[tuple[str, str, Mapping[str, str]], ...] = (
        ("paises", "Países", {code: country(code) for code in countries}),
        ("niveles", "Niveles", {name: name for name in LEVELS}),
        ("modelos", "Modelos", {name: name for name in models}),
        ("ventanas", "Ventanas", windows),
        ("tiempo", "Hora de llegada", _CLOCK_NAMES),
    )
    return [_group(*offer, chosen[offer[0]], offer[0] in _UNUSED[board]) for offer in offers]


def choice(board: Board, chosen: Any) -> Choice:
    """Return what the filters say; what a board does not offer is not filtered by.

    Raises:
        BadRequest: the page would not have sent it.
    """
    try:
        asked = msgspec.convert(chosen, _Chosen)
    except msgspec.ValidationError as error:
        raise BadRequest from error
    unused = _UNUSED[board]
    return Choice(
        board,
        () if "paises" in unused else _ordered(asked.paises),
        () if "niveles" in unused else _ordered(asked.niveles),
        () if "modelos" in unused else _ordered(asked.modelos),
        _WINDOWS[_one_of(asked.ventanas[0], _WINDOWS)],
        None if "tiempo" in unused else _CLOCKS[_one_of(asked.tiempo[0], _CLOCKS)],
    )


def _ordered(values: list[str]) -> tuple[str, ...]:
    return tuple(sorted(set(values)))


def _listed(text: Any, offered: Sequence[str]) -> list[str]:
    """Return the values of a filter in the address; what is not offered is left out."""
    return [value for value in str(text or "").split(",") if value in offered]


def _one_of(text: Any, offered: Mapping[str, Any]) -> str:
    return text if text in offered else next(iter(offered))


def _group(
    name: str, title: str, options: Mapping[str, str], chosen: Sequence[str], hidden: bool
) -> html.Div:
    """Return a group of buttons that stay pressed."""
    buttons = [
        html.Button(
            label,
            id={"filter": name, "option": option},
            type="button",
            className="option",
            **aria(pressed=str(option in chosen).lower()),
        )
        for option, label in options.items()
    ]
    return html.Div(
        [html.Span(title, className="name", **aria(hidden="true")), *buttons],
        hidden=hidden,
        className="filter",
        role="group",
        **aria(label=title),
    )
