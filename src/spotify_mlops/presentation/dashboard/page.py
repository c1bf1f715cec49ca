"""The live page: two boards of panels, the filters above them, and what to know first.

Dash draws it; each tick of its clock asks `Watch`, and only panels whose rows changed are drawn
again. The filters are in the address, so that a link shows what its sender saw.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import dash
import msgspec
from dash import ALL, Input, Output, State, clientside_callback, dcc, html, no_update
from werkzeug.exceptions import BadRequest

from ...config.params import Params
from ...domain.labels import LEVELS
from ..es import country, duration
from . import drawing
from .guard import Guarded, bad_input, content_security_policy, ours
from .notices import Notice, notices
from .panel import Board, Panel
from .watch import Answer, Choice, Seen, Watch

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

BOARDS: Mapping[Board, tuple[str, str]] = {
    "business": ("/", "Negocio"),
    "operations": ("/operaciones", "Operaciones"),
}
_UNUSED: Mapping[Board, tuple[str, ...]] = {
    "business": ("tiempo",),
    "operations": ("paises", "niveles"),
}
"""What a board does not filter by; it stays in the address, for the other board."""
_PATIENCE = 0.25
"""Seconds that an answer may be waited for; what is not there by then comes with the next tick."""
_FIRST_PATIENCE = 5.0
_TICK_MS = 2000
_HURRY_MS = 250
_WINDOWS = {"24": 24, "168": 168, "todo": None}
_CLOCKS = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "todo": None,
}
_CLOCK_NAMES = {"15m": "15 minutos", "1h": "1 hora", "24h": "24 horas", "todo": "todo"}
_STATUS_NAMES = {"good": "bien", "warning": "atención", "critical": "mal"}
_TOLD = "notices"
"""Beside the panels' versions: what was last told."""
_CHARTS = ("line", "stacked", "bars")
_Few = Annotated[list[Annotated[str, msgspec.Meta(max_length=128)]], msgspec.Meta(max_length=64)]
_One = Annotated[list[str], msgspec.Meta(min_length=1, max_length=1)]


class _Chosen(msgspec.Struct, forbid_unknown_fields=True):
    """The filters as the page sends them."""

    paises: _Few
    niveles: _Few
    modelos: _Few
    ventanas: _One
    tiempo: _One


_THEME = """
const theme = localStorage.getItem('theme');
if (theme) document.documentElement.dataset.theme = theme;
"""
"""Runs before anything is drawn."""
_INDEX = (
    """<!DOCTYPE html>
<html lang="es">
<head>
{%metas%}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{%title%}</title>
<link rel="icon" href="data:,">
<script>"""
    + _THEME
    + """</script>
{%css%}
</head>
<body>
{%app_entry%}
<footer class="scripts">{%config%}{%scripts%}{%renderer%}</footer>
</body>
</html>"""
)
_ENTRY = """<div id="react-entry-point">
<header class="top"><p class="brand">Popularidad de canciones, en directo</p></header>
<p class="loading" role="status">Cargando el panel…</p>
</div>"""
"""What is seen before the scripts run."""


class _Page(dash.Dash):
    def interpolate_index(self, *parts: Any, **named: Any) -> Any:
        return super().interpolate_index(*parts, **(named | {"app_entry": _ENTRY}))


def application(params: Params, watch: Watch) -> dash.Dash:
    """Return the page as a WSGI application (its ``server``)."""
    app = _Page(
        __name__,
        title="Popularidad de canciones",
        update_title="",
        index_string=_INDEX,
        use_pages=True,
        pages_folder="",
        suppress_callback_exceptions=True,  # the boards' parts are made when one is opened
        enable_mcp=False,
    )
    for board, (path, name) in BOARDS.items():
        dash.register_page(
            board,
            path=path,
            name=name,
            title=f"{name} · Popularidad de canciones",
            layout=_layout(params, watch, board),
        )
    app.layout = html.Div([_header(params), dash.page_container])
    _connect(app, params, watch)
    app.server.register_error_handler(Exception, bad_input)
    return app


def guarded(app: dash.Dash) -> WSGIApplication:
    """Return the page as it may be served."""
    app.server.test_client().get("/_dash-dependencies")  # Dash adds its last script at the first
    digest = base64.b64encode(hashlib.sha256(_THEME.encode()).digest()).decode()
    hashes = [f"'sha256-{digest}'", *app.csp_hashes()]
    return Guarded(app.server, content_security_policy(hashes))


# The parts of the page


def _layout(params: Params, watch: Watch, board: Board) -> Callable[..., html.Div]:
    """Return what makes a board of an address; Dash gives it the query as named arguments."""

    @ours
    def layout(**query: Any) -> html.Div:
        return _board(params, watch, board, query)

    return layout


def _aria(**named: str) -> dict[str, Any]:
    """Return attributes that Python cannot name."""
    return {f"aria-{name}": value for name, value in named.items()}


def _header(params: Params) -> html.Header:
    synthetic = html.Span("datos sintéticos", className="badge", title="Los eventos los genera "
                          "el simulador del proyecto.")  # fmt: skip
    return html.Header(
        [
            html.P("Popularidad de canciones, en directo", className="brand"),
            html.Nav(
                [
                    dcc.Link(name, href=path, id=f"to-{board}", className="to-board")
                    for board, (path, name) in BOARDS.items()
                ],
                **_aria(label="Tableros"),
            ),
            *([synthetic] if params.sources.source == "simulator" else []),
            html.Button("Claro / oscuro", id="theme", className="plain", type="button"),
        ],
        className="top",
    )


def _board(params: Params, watch: Watch, board: Board, query: Mapping[str, Any]) -> html.Div:
    extent = watch.extent(_FIRST_PATIENCE)
    countries = extent.countries if extent is not None else tuple(params.sources.countries)
    models = extent.models if extent is not None else ()
    offered = {"paises": countries, "niveles": tuple(LEVELS), "modelos": models}
    choice: dict[str, list[str]] = {
        name: _listed(query.get(name), values) for name, values in offered.items()
    }
    choice["ventanas"] = [_one_of(query.get("ventanas"), _WINDOWS)]
    choice["tiempo"] = [_one_of(query.get("tiempo"), _CLOCKS)]
    _, title = BOARDS[board]
    offers = (
        ("paises", "Países", {code: country(code) for code in countries}),
        ("niveles", "Niveles", {name: name for name in LEVELS}),
        ("modelos", "Modelos", {name: name for name in models}),
        ("ventanas", "Ventanas", _window_names(params)),
        ("tiempo", "Hora de llegada", _CLOCK_NAMES),
    )
    filters = [_filter(*offer, choice[offer[0]], offer[0] in _UNUSED[board]) for offer in offers]
    return html.Div(
        [
            html.H1(title, className="sr-only"),
            html.Section(filters, className="filters", **_aria(label="Filtros")),
            html.Div(id="notices", role="status"),
            html.Main([_card(panel) for panel in watch.board(board)], className="grid"),
            html.P(id="updated", className="updated"),
            dcc.Interval(id="tick", interval=_HURRY_MS),
            dcc.Store(id="board", data=board),
            dcc.Store(id="choice", data=choice),
            dcc.Store(id="versions", data={}),
        ]
    )


def _listed(text: Any, offered: tuple[str, ...]) -> list[str]:
    """Return the values of a filter in the address; what is not offered is left out."""
    return [value for value in str(text or "").split(",") if value in offered]


def _one_of(text: Any, offered: Mapping[str, Any]) -> str:
    return text if text in offered else next(iter(offered))


def _window_names(params: Params) -> dict[str, str]:
    return {
        key: "todo" if count is None else duration(params.windows.window * count)
        for key, count in _WINDOWS.items()
    }


def _filter(
    name: str, title: str, options: Mapping[str, str], chosen: Sequence[str], hidden: bool
) -> html.Div:
    """Return a group of buttons that stay pressed."""
    buttons = [
        html.Button(
            label,
            id={"filter": name, "option": option},
            type="button",
            className="option",
            **_aria(pressed=str(option in chosen).lower()),
        )
        for option, label in options.items()
    ]
    return html.Div(
        [html.Span(title, className="name", **_aria(hidden="true")), *buttons],
        hidden=hidden,
        className="filter",
        role="group",
        **_aria(label=title),
    )


def _card(panel: Panel) -> html.Section:
    title = html.H2(panel.title, id=f"title-{panel.name}")
    question = html.P(panel.question, className="question")
    if panel.kind in _CHARTS:
        content = [
            html.Div(
                dcc.Graph(
                    id={"chart": panel.name},
                    figure=drawing.blank(panel),
                    config={"displayModeBar": False, "responsive": True, "scrollZoom": False},
                ),
                className="chart",
                **_aria(hidden="true"),
            ),
            html.Div(id={"under": panel.name}, className="under"),
        ]
    else:
        content = [html.Div(id={"content": panel.name}, className=f"content {panel.kind}")]
    return html.Section(
        [title, question, *content],
        className=f"card width-{panel.width}",
        **_aria(labelledby=f"title-{panel.name}"),
    )


def _stat(panel: Panel, answer: Answer) -> list[Any]:
    rows = answer.rows
    if rows is None or rows.is_empty():
        return [_said(panel, answer)]
    parts: list[Any] = []
    for row in rows.iter_rows(named=True):
        amount = row["value"]
        # Thresholds are of the panel's own unit.
        own = row["series"] not in panel.units
        status = panel.status(amount) if amount is not None and own else None
        badge = [html.Span(_STATUS_NAMES[status], className=f"status {status}")] if status else []
        unit = panel.units.get(row["series"], panel.unit)
        parts.append(
            html.P(
                [html.Strong(drawing.value(amount, unit)), html.Span(row["series"]), *badge],
                className="value",
            )
        )
        if row.get("detail"):
            parts.append(html.P(row["detail"], className="detail"))
    return parts


def _table(panel: Panel, answer: Answer) -> Any:
    if answer.rows is None or answer.rows.is_empty():
        return _said(panel, answer)
    titles, cells, numeric = drawing.table(panel, answer.rows)
    classes = ["number" if is_number else "" for is_number in numeric]
    head = [html.Th(title, className=c, scope="col") for title, c in zip(titles, classes,
                                                                         strict=True)]  # fmt: skip
    body = [
        html.Tr([html.Td(cell, className=c) for cell, c in zip(row, classes, strict=True)])
        for row in cells
    ]
    return html.Div(
        html.Table([html.Thead(html.Tr(head)), html.Tbody(body)]),
        className="scroll",
        tabIndex=0,
        role="region",
        **_aria(label=f"Tabla: {panel.title}"),
    )


def _under_chart(panel: Panel, answer: Answer) -> Any:
    """Return what stands under a chart: its sentence for screen readers and its data."""
    if answer.rows is None or answer.rows.is_empty():
        return _said(panel, answer)
    return [
        html.P(drawing.sentence(panel, answer.rows), className="sr-only"),
        html.Details([html.Summary("Ver los datos"), _table(panel, answer)]),
    ]


def _said(panel: Panel, answer: Answer) -> html.P:
    if answer.error is not None:
        return html.P(f"BigQuery no aceptó la consulta: {answer.error}", className="error")
    return html.P(panel.empty, className="empty")


def _notice(notice: Notice) -> html.P:
    word = _STATUS_NAMES[notice.status].capitalize()
    return html.P([html.Strong(f"{word}. "), notice.text], className=f"notice {notice.status}")


# What moves


def _connect(app: dash.Dash, params: Params, watch: Watch) -> None:
    @app.callback(
        Output({"chart": ALL}, "figure"),
        Output({"under": ALL}, "children"),
        Output({"content": ALL}, "children"),
        Output("notices", "children"),
        Output("updated", "children"),
        Output("versions", "data"),
        Output("tick", "interval"),
        Input("tick", "n_intervals"),
        Input("choice", "data"),
        State("board", "data"),
        State("versions", "data"),
        prevent_initial_call=True,
    )
    @ours
    def refresh(_: Any, chosen: Any, board: Any, versions: Any) -> tuple[Any, ...]:
        if board not in tuple(BOARDS) or not isinstance(versions, dict):
            raise BadRequest
        seen = watch.look(_choice(board, chosen), _PATIENCE)
        every = watch.board(board)
        charts = [panel for panel in every if panel.kind in _CHARTS]
        others = [panel for panel in every if panel.kind not in _CHARTS]
        fresh = {
            panel.name: seen.answers[panel.name]
            for panel in every
            if panel.name in seen.answers
            and seen.answers[panel.name].version != versions.get(panel.name)
        }
        found = notices(params, seen, datetime.now(UTC))
        told = [notice.text for notice in found]
        return (
            [_figure(panel, fresh.get(panel.name)) for panel in charts],
            [
                _under_chart(panel, fresh[panel.name]) if panel.name in fresh else no_update
                for panel in charts
            ],
            [
                _filled(panel, fresh[panel.name]) if panel.name in fresh else no_update
                for panel in others
            ],
            # The same lines set again would be new elements, and read out again.
            no_update if told == versions.get(_TOLD) else [_notice(notice) for notice in found],
            _updated(seen),
            versions | {name: answer.version for name, answer in fresh.items()} | {_TOLD: told},
            _TICK_MS if seen.complete else _HURRY_MS,
        )

    # None pressed is all; of the last two groups, one is. The address follows without a
    # navigation, which would draw everything anew.
    clientside_callback(
        """(clicks, ids, before, board) => {
            const pressed = dash_clientside.callback_context.triggered_id;
            const chosen = {...before};
            if (pressed && dash_clientside.callback_context.triggered[0].value) {
                const {filter, option} = pressed;
                const one = ['ventanas', 'tiempo'].includes(filter);
                const had = chosen[filter].includes(option);
                chosen[filter] = one ? [option]
                    : had ? chosen[filter].filter((each) => each !== option)
                    : [...chosen[filter], option].sort();
            }
            const asked = new URLSearchParams();
            for (const [name, values] of Object.entries(chosen)) {
                if (values.length) asked.set(name, values.join(','));
            }
            const query = '?' + asked.toString().replaceAll('%2C', ',').replaceAll('%40', '@');
            history.replaceState(history.state, '', location.pathname + query);
            const tab = (name) => name === board ? 'to-board current' : 'to-board';
            for (const name of ['business', 'operations']) {
                const link = document.getElementById('to-' + name);
                link.toggleAttribute('aria-current', false);
                if (name === board) link.setAttribute('aria-current', 'page');
            }
            return [
                chosen,
                ids.map(({filter, option}) => String(chosen[filter].includes(option))),
                '/' + query, '/operaciones' + query, tab('business'), tab('operations'),
            ];
        }""",
        Output("choice", "data"),
        Output({"filter": ALL, "option": ALL}, "aria-pressed"),
        Output("to-business", "href"),
        Output("to-operations", "href"),
        Output("to-business", "className"),
        Output("to-operations", "className"),
        Input({"filter": ALL, "option": ALL}, "n_clicks"),
        State({"filter": ALL, "option": ALL}, "id"),
        State("choice", "data"),
        State("board", "data"),
    )
    clientside_callback(
        """(clicks) => {
            const root = document.documentElement;
            const dark = root.dataset.theme ? root.dataset.theme === 'dark'
                : matchMedia('(prefers-color-scheme: dark)').matches;
            if (clicks) {
                root.dataset.theme = dark ? 'light' : 'dark';
                localStorage.setItem('theme', root.dataset.theme);
            }
            return String(clicks ? !dark : dark);
        }""",
        Output("theme", "aria-pressed"),
        Input("theme", "n_clicks"),
    )


def _choice(board: Board, chosen: Any) -> Choice:
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


def _figure(panel: Panel, answer: Answer | None) -> Any:
    if answer is None:
        return no_update
    if answer.rows is None or answer.rows.is_empty():
        return drawing.blank(panel)
    return drawing.figure(panel, answer.rows)


def _filled(panel: Panel, answer: Answer) -> Any:
    return _stat(panel, answer) if panel.kind == "stat" else _table(panel, answer)


def _updated(seen: Seen) -> Any:
    return f"Al día a las {seen.at:%H:%M:%S} UTC." if seen.at is not None else no_update
