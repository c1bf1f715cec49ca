"""The live page: two boards of panels, the filters above them, and what to know first.

Dash draws it; each tick of its clock asks `Watch`, and only panels whose rows changed are drawn
again. The filters are in the address, so that a link shows what its sender saw.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dash
from dash import ALL, Input, Output, State, clientside_callback, dcc, html, no_update
from werkzeug.exceptions import BadRequest

from ...config.params import Params
from ...config.sections import Sources, Windows
from . import filters
from .guard import Guarded, bad_input, content_security_policy, ours
from .notices import notices
from .panel import Board
from .parts import CHARTS, aria, card, figure, filled, notice_line, under_chart, updated
from .watch import Watch

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

BOARDS: Mapping[Board, tuple[str, str]] = {
    "business": ("/", "Negocio"),
    "operations": ("/operaciones", "Operaciones"),
}
_PATIENCE = 0.25
"""Seconds that an answer may be waited for; what is not there by then comes with the next tick."""
_FIRST_PATIENCE = 5.0
_TICK_MS = 2000
_HURRY_MS = 250
_TOLD = "notices"
"""Beside the panels' versions: what was last told."""
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
    app.layout = html.Div([_header(params.sources), dash.page_container])
    _connect(app, params.windows, watch)
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


def _header(sources: Sources) -> html.Header:
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
                **aria(label="Tableros"),
            ),
            *([synthetic] if sources.source == "simulator" else []),
            html.Button("Claro / oscuro", id="theme", className="plain", type="button"),
        ],
        className="top",
    )


def _board(params: Params, watch: Watch, board: Board, query: Mapping[str, Any]) -> html.Div:
    extent = watch.extent(_FIRST_PATIENCE)
    countries = extent.countries if extent is not None else tuple(params.sources.countries)
    models = extent.models if extent is not None else ()
    choice = filters.asked_by(query, countries, models)
    groups = filters.groups(params.windows, board, countries, models, choice)
    _, title = BOARDS[board]
    return html.Div(
        [
            html.H1(title, className="sr-only"),
            html.Section(groups, className="filters", **aria(label="Filtros")),
            html.Div(id="notices", role="status"),
            html.Main([card(panel) for panel in watch.board(board)], className="grid"),
            html.P(id="updated", className="updated"),
            dcc.Interval(id="tick", interval=_HURRY_MS),
            dcc.Store(id="board", data=board),
            dcc.Store(id="choice", data=choice),
            dcc.Store(id="versions", data={}),
        ]
    )


# What moves


def _connect(app: dash.Dash, windows: Windows, watch: Watch) -> None:
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
        seen = watch.look(filters.choice(board, chosen), _PATIENCE)
        every = watch.board(board)
        charts = [panel for panel in every if panel.kind in CHARTS]
        others = [panel for panel in every if panel.kind not in CHARTS]
        fresh = {
            panel.name: seen.answers[panel.name]
            for panel in every
            if panel.name in seen.answers
            and seen.answers[panel.name].version != versions.get(panel.name)
        }
        found = notices(windows, seen, datetime.now(UTC))
        told = [notice.text for notice in found]
        return (
            [figure(panel, fresh.get(panel.name)) for panel in charts],
            [
                under_chart(panel, fresh[panel.name]) if panel.name in fresh else no_update
                for panel in charts
            ],
            [
                filled(panel, fresh[panel.name]) if panel.name in fresh else no_update
                for panel in others
            ],
            # The same lines set again would be new elements, and read out again.
            no_update if told == versions.get(_TOLD) else [notice_line(notice) for notice in found],
            updated(seen),
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
