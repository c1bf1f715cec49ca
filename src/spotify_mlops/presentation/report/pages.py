"""Render executed notebooks as a small self-contained site."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup
from nbconvert.exporters import TemplateExporter

from ...config import paths
from ...config.errors import UserError
from ...config.params import Params
from ..es import moment
from ..figures.style import themed
from ..notebooks import NOTEBOOKS
from . import clean, glossary, history
from .headline import headline

TEMPLATES = Path(__file__).parent / "templates"
PHASES = {
    "01_business": "Negocio",
    "02_eda": "Datos",
    "03_preparation": "Preparación",
    "04_modeling": "Modelo",
    "05_evaluation": "Evaluación",
    "06_deployment": "Despliegue",
}
CONTENT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "base-uri 'none'; form-action 'none'"
)
"""What a browser lets a page do, whatever got into it: be read. It runs nothing and asks nobody."""
_markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
_markdown.use(glossary.link_words)


@dataclass(frozen=True)
class Link:
    """An entry of the site's navigation; without ``href`` the page does not exist yet."""

    name: str
    href: str | None
    current: bool = False


def render(params: Params, executed_dir: Path, out_dir: Path) -> list[Path]:
    """Write one HTML page for each executed notebook, the model card and ``index.html``.

    Beside them, a glossary and a comparison of this run with those rendered before into the same
    folder, whose numbers are kept there (`history`).

    Pages hold no code, no printed text, no script and nothing from elsewhere: figures are
    inline SVG, styles are in the page. A notebook that has not been executed has no page, and
    the index says so.

    Args:
        params: profile, source and what else the index states.
        executed_dir: executed notebooks, ``<name>.ipynb``.
        out_dir: where the pages go; other files there stay.

    Returns:
        The written files, the index first.

    Raises:
        UserError: nothing has been executed, or the folder cannot be written.
    """
    notebooks = {
        name: nbformat.read(path, as_version=4)
        for name in NOTEBOOKS
        if (path := executed_dir / f"{name}.ipynb").is_file()
    }
    if not notebooks:
        raise UserError(
            "No hay cuadernos ejecutados que convertir en informe. "
            "Ejecútalos con: spotify-mlops notebooks"
        )
    facts: dict[str, Any] = {}
    for notebook in notebooks.values():
        facts |= clean.facts(notebook)
    made = max(_finished(notebook) for notebook in notebooks.values())
    shared = _shared(params, made)
    compared = history.compare(history.remember(out_dir, facts, params, made))
    card = facts.get("model_card")
    pages = {
        f"{name}.html": _phase_page(name, notebook, shared, notebooks, bool(card))
        for name, notebook in notebooks.items()
    }
    environment = _environment()
    if card:
        pages["model_card.html"] = environment.get_template("card.html.j2").render(
            shared,
            links=_links("model_card", notebooks, True),
            content=_to_html(card, glossary.first_uses()),
        )
    for name in ("glossary", "comparison"):
        pages[f"{name}.html"] = environment.get_template(f"{name}.html.j2").render(
            shared,
            links=_links(name, notebooks, bool(card)),
            comparison=compared,
        )
    phases = [
        {"number": i, "name": PHASES[name], "href": f"{name}.html" if name in notebooks else None,
         "title": _title(notebooks[name]) if name in notebooks else "todavía sin ejecutar"}
        for i, name in enumerate(NOTEBOOKS, 1)
    ]  # fmt: skip
    index = environment.get_template("index.html.j2").render(
        shared,
        links=_links("index", notebooks, bool(card)),
        phases=phases,
        headline=headline(facts, params),
        comparison=compared,
        card=bool(card),
    )
    return write({"index.html": index} | pages, out_dir)


def page(template: str, params: Params, made: str, **values: Any) -> str:
    """Return a page that belongs to no notebook, from its template.

    Args:
        template: of `TEMPLATES`.
        params: profile and source.
        made: when what it shows ended, in words.
        values: what the template asks for.
    """
    return _environment().get_template(template).render(_shared(params, made), **values)


def _shared(params: Params, made: str) -> dict[str, Any]:
    """Return what every page needs."""
    return {
        "params": params,
        "synthetic": params.sources.source == "simulator",
        "made": made,
        "policy": Markup(CONTENT_POLICY),
        "style": Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
    }


def _phase_page(
    name: str,
    notebook: nbformat.NotebookNode,
    shared: Mapping[str, Any],
    notebooks: Mapping[str, Any],
    card: bool,
) -> str:
    exporter = TemplateExporter(
        extra_template_basedirs=[str(TEMPLATES)],
        extra_template_paths=[str(TEMPLATES)],
        template_name="phase",
        raw_mimetypes=[],
    )
    exporter.file_extension = ".html"
    exporter.exclude_input = True
    exporter.register_filter("result", partial(_result, words=glossary.first_uses()))
    exporter.environment.autoescape = True
    order = list(notebooks)
    place = order.index(name)
    resources = {
        "page": dict(shared)
        | {
            "title": _title(notebook),
            "number": NOTEBOOKS.index(name) + 1,
            "phase": PHASES[name],
            "links": _links(name, notebooks, card),
            "contents": _contents(notebook),
            "results": clean.results(notebook),
            "previous": order[place - 1] if place else None,
            "next": order[place + 1] if place + 1 < len(order) else None,
            "phases": PHASES,
        }
    }
    html, _ = exporter.from_notebook_node(notebook, resources)
    return html


def _result(item: Mapping[str, Any], index: int, words: dict[str, set[str]]) -> Markup:
    """Return one shown item as HTML, with its page's first uses of the glossary's words linked."""
    content, kind = item["content"], item["kind"]
    match item["type"]:
        case "image/svg+xml":
            forms = {"wide": content, "narrow": item["narrow"]} if item["narrow"] else {"": content}
            drawn = (
                themed(svg, f"f{index}{form}-").replace("<svg ", f'<svg class="{form}" ', 1)
                for form, svg in forms.items()
            )
            return Markup(f'<figure class="plot">{"".join(drawn)}</figure>')
        case "image/png":
            alt = Markup.escape(item["alt"])
            return Markup(
                f'<figure class="plot"><img alt="{alt}" src="data:image/png;base64,'
                f'{"".join(content.split())}"></figure>'
            )
        case "text/html":
            return Markup(f'<div class="table" tabindex="0">{content}</div>')
        case _:
            return Markup(f'<div class="{kind}">{_to_html(content, words)}</div>')


def _to_html(markdown: str, words: dict[str, set[str]] | None = None) -> Markup:
    html = _markdown.render(markdown, words)
    html = re.sub(r"<h2>(.*?)</h2>", lambda m: f'<h2 id="{_anchor(m[1])}">{m[1]}</h2>', html)
    html = html.replace("<table>", '<div class="table" tabindex="0"><table>')
    return Markup(html.replace("</table>", "</table></div>"))


def _anchor(heading: str) -> str:
    text = re.sub(r"<[^>]+>|&\w+;", "", heading)
    return re.sub(r"[^\w]+", "-", text.lower()).strip("-")


def _contents(notebook: nbformat.NotebookNode) -> list[tuple[str, str]]:
    headings: list[tuple[str, str]] = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and clean.is_shown(cell):
            for text in re.findall(r"^## (.+)$", cell.source, re.MULTILINE):
                html = _markdown.renderInline(text)
                headings.append((_anchor(html), Markup(html)))
    return headings


def _title(notebook: nbformat.NotebookNode) -> str:
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            found = re.search(r"^# (.+)$", cell.source, re.MULTILINE)
            if found:
                return found[1].strip()
    return ""


def _links(current: str, notebooks: Mapping[str, Any], card: bool) -> list[Link]:
    links = [Link("Portada", "index.html", current == "index")]
    for name in NOTEBOOKS:
        href = f"{name}.html" if name in notebooks else None
        links.append(Link(PHASES[name], href, current == name))
    if card:
        links.append(Link("Ficha", "model_card.html", current == "model_card"))
    links.append(Link("Comparación", "comparison.html", current == "comparison"))
    links.append(Link("Glosario", "glossary.html", current == "glossary"))
    return links


def _finished(notebook: nbformat.NotebookNode) -> str:
    return finished(notebook.metadata.get("papermill", {}).get("end_time"))


def finished(text: str | None) -> str:
    """Write papermill's time of an end in words; nothing where there is none."""
    return moment(datetime.fromisoformat(text)) + " UTC" if text else ""


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined
    )


def write(pages: Mapping[str, str], out_dir: Path) -> list[Path]:
    """Write pages by their names, without this machine's folders in them, and return the files.

    Raises:
        UserError: the folder cannot be written.
    """
    written = []
    folders = [paths.state_dir(), paths.cache_dir(), paths.root(), Path.home()]
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        for name, html in pages.items():
            path = out_dir / name
            path.write_text(clean.without_paths(html, folders), encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise UserError(f"No se puede escribir en {out_dir}: {error.strerror}.") from error
    return written
