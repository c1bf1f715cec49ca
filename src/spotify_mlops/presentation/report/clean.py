"""What of an executed notebook a reader of the report may meet."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from ..figures.style import NARROW_MIME
from ..narrative.show import FACTS_MIME

# In order of preference; what is not here (plain text, widgets, JavaScript) is left out.
SHOWN = ("image/svg+xml", "image/png", "text/html", "text/markdown")

NOTEBOOK_ONLY = "notebook-only"
"""Tag of a cell that speaks to who has the notebook open, not to who reads the report."""

_ELEMENTS = {
    *("table", "caption", "colgroup", "col", "thead", "tbody", "tfoot", "tr", "th", "td", "style"),
    *("div", "p", "span", "br", "ul", "ol", "li", "b", "i", "em", "strong", "small", "code"),
}
_ATTRIBUTES = {"class", "style", "scope", "scoped", "colspan", "rowspan", "span", "border"}
"""Of what tables are made; whatever else an output brings (scripts, links, frames) is no result."""

_STYLE = re.compile(r"<style\b.*?</style>", re.I | re.DOTALL)


def results(notebook: NotebookNode) -> list[dict[str, Any]]:
    """Return what a page shows, in order.

    Markdown cells, figures, tables and generated sentences stay. Code, printed text, warnings,
    errors and anything that would load a script (interactive Beam's widgets) do not.

    Returns:
        Dicts with ``type`` (one of `SHOWN`), ``content``, and ``kind``, ``alt`` or ``narrow`` (of a
        figure, its form for a phone) where known.
    """
    shown: list[dict[str, Any]] = []
    for cell in notebook.cells:
        if not is_shown(cell):
            continue
        if cell.cell_type == "markdown":
            shown.append({"type": "text/markdown", "content": cell.source, "kind": "prose"})
        elif cell.cell_type == "code":
            shown.extend(_outputs(cell))
    return shown


def is_shown(cell: NotebookNode) -> bool:
    """Tell whether a cell is for who reads the report."""
    return not {"papermill-error-cell-tag", NOTEBOOK_ONLY} & set(cell.metadata.get("tags", []))


def facts(notebook: NotebookNode) -> dict[str, Any]:
    """Return the facts that a notebook recorded, later ones winning."""
    found: dict[str, Any] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            found |= output.get("data", {}).get(FACTS_MIME, {})
    return found


def without_paths(html: str, folders: Sequence[Path]) -> str:
    """Return the text with this machine's folders cut from the paths in it."""
    for folder in sorted({str(f) for f in folders if len(f.parts) > 1}, key=len, reverse=True):
        html = html.replace(f"{folder}/", "").replace(folder, "…")
    return html


def _is_table(html: str) -> bool:
    """Tell whether HTML has no other elements and attributes than tables have.

    Elements are looked at, not texts: a track may be called like a script, or like its address.
    """
    found = _Elements()
    found.feed(html)
    found.close()
    return found.names <= _ELEMENTS and found.attributes <= _ATTRIBUTES


class _Elements(HTMLParser):
    """Collects the names of the elements and of the attributes in a text."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes.update(name for name, _ in attrs)


def _outputs(cell: NotebookNode) -> Iterator[dict[str, Any]]:
    for output in cell.get("outputs", []):
        if output.output_type not in ("display_data", "execute_result"):
            continue
        for mime in SHOWN:
            content = _text(output, mime)
            if content is None:
                continue
            if mime == "text/html" and not _is_table(content):
                break
            if mime == "text/html":
                content = _STYLE.sub("", content)  # pandas brings one for the whole page
            about = output.metadata.get(mime, {})
            yield {
                "type": mime,
                "content": content,
                "kind": about.get("kind", "result"),
                "alt": about.get("alt", ""),
                "narrow": _text(output, NARROW_MIME),
            }
            break


def _text(output: NotebookNode, mime: str) -> str | None:
    found = output.data.get(mime)
    return "".join(found) if isinstance(found, list) else found
