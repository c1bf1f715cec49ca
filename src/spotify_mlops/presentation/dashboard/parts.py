"""The parts of the live page: a card a panel, and what stands in it."""

from __future__ import annotations

from typing import Any

from dash import dcc, html, no_update

from . import drawing
from .notices import Notice
from .panel import Panel
from .watch import Answer, Seen

CHARTS = ("line", "stacked", "bars")
_STATUS_NAMES = {"good": "bien", "warning": "atención", "critical": "mal"}


def aria(**named: str) -> dict[str, Any]:
    """Return attributes that Python cannot name."""
    return {f"aria-{name}": value for name, value in named.items()}


def card(panel: Panel) -> html.Section:
    title = html.H2(panel.title, id=f"title-{panel.name}")
    question = html.P(panel.question, className="question")
    if panel.kind in CHARTS:
        content = [
            html.Div(
                dcc.Graph(
                    id={"chart": panel.name},
                    figure=drawing.blank(panel),
                    config={"displayModeBar": False, "responsive": True, "scrollZoom": False},
                ),
                className="chart",
                **aria(hidden="true"),
            ),
            html.Div(id={"under": panel.name}, className="under"),
        ]
    else:
        content = [html.Div(id={"content": panel.name}, className=f"content {panel.kind}")]
    return html.Section(
        [title, question, *content],
        className=f"card width-{panel.width}",
        **aria(labelledby=f"title-{panel.name}"),
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
        **aria(label=f"Tabla: {panel.title}"),
    )


def under_chart(panel: Panel, answer: Answer) -> Any:
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


def notice_line(notice: Notice) -> html.P:
    word = _STATUS_NAMES[notice.status].capitalize()
    return html.P([html.Strong(f"{word}. "), notice.text], className=f"notice {notice.status}")


def figure(panel: Panel, answer: Answer | None) -> Any:
    if answer is None:
        return no_update
    if answer.rows is None or answer.rows.is_empty():
        return drawing.blank(panel)
    return drawing.figure(panel, answer.rows)


def filled(panel: Panel, answer: Answer) -> Any:
    return _stat(panel, answer) if panel.kind == "stat" else _table(panel, answer)


def updated(seen: Seen) -> Any:
    return f"Al día a las {seen.at:%H:%M:%S} UTC." if seen.at is not None else no_update
