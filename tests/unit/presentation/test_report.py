"""Pages from executed notebooks: what is in them and what never is."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html import escape
from html.parser import HTMLParser

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
)

from spotify_mlops.config import params, paths
from spotify_mlops.config.errors import UserError
from spotify_mlops.presentation import report
from spotify_mlops.presentation.figures import eda, shares
from spotify_mlops.presentation.narrative.show import Facts, Text, table
from spotify_mlops.presentation.report import document, glossary, history

SECRET = "texto_que_nadie_debe_leer"


def shown(item):
    """Return the output that a kernel makes of an object."""
    if hasattr(item, "_repr_mimebundle_"):
        bundle = item._repr_mimebundle_()
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
    else:
        data, metadata = {"text/html": item._repr_html_()}, {}
    return new_output("execute_result", data=data, metadata=metadata)


def cell(*outputs, source=f"print('{SECRET}')"):
    return new_code_cell(source, outputs=list(outputs))


@pytest.fixture
def figure():
    frame = pd.DataFrame(
        {
            "time": list(pd.date_range("2026-01-05", periods=4, tz="UTC")) * 2,
            "country": ["CO"] * 4 + ["ES"] * 4,
            "value": [1000.0, 2000.0, 1500.0, 3000.0, 10.0, 20.0, 30.0, 40.0],
        }
    )
    return eda.volume(frame, "simulator", "reproducciones por día")


def render(tmp_path, cells, profile="local", name="05_evaluation"):
    executed = tmp_path / "executed"
    executed.mkdir(exist_ok=True)
    notebook = new_notebook(cells=[new_markdown_cell("# Un título & más"), *cells])
    notebook.metadata["papermill"] = {"end_time": "2026-01-05T10:20:30+00:00"}
    nbformat.write(notebook, executed / f"{name}.ipynb")
    written = report.render(params.load(profile), executed, tmp_path / "out")
    return {path.name: path.read_text(encoding="utf-8") for path in written}


class Structure(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.attributes = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]


def test_results_are_shown_and_code_is_not(tmp_path, figure):
    frame = pd.DataFrame({"pais": ["Colombia"], "filas": [1234567]})
    cells = [
        new_markdown_cell("## Una pregunta\n\nTexto **fuerte**."),
        cell(shown(figure)),
        cell(shown(table(frame, "Una tabla", {"pais": "País", "filas": "Filas"}))),
        cell(shown(Text("Hallazgo con *énfasis*."))),
        cell(shown(Text("Se despliega.", "decision"))),
    ]
    page = render(tmp_path, cells)["05_evaluation.html"]
    assert SECRET not in page
    assert "Un título &amp; más" in page
    assert '<h2 id="una-pregunta">' in page
    assert "1.234.567" in page
    assert '<div class="finding"><p>Hallazgo con <em>énfasis</em>.' in page
    assert '<div class="decision">' in page
    assert page.count("<figure") == 1
    assert figure.alt.split(".")[0] in page


def test_streams_errors_scripts_and_paths_are_left_out(tmp_path):
    path = paths.root() / "x" / "y.py"
    cells = [
        cell(new_output("stream", name="stderr", text=f"{SECRET} Warning: {path}")),
        cell(new_output("stream", name="stdout", text=SECRET)),
        cell(new_output("error", ename="ValueError", evalue=SECRET, traceback=[SECRET])),
        cell(new_output("display_data", data={"text/html": f"<script>{SECRET}</script>"})),
        cell(
            new_output(
                "display_data",
                data={"text/html": f'<link href="https://cdn.example/{SECRET}.js">'},
            )
        ),
        cell(new_output("display_data", data={"application/javascript": SECRET})),
        cell(new_output("execute_result", data={"text/plain": SECRET})),
        cell(shown(Text(f"Está en {path}."))),
        new_markdown_cell(SECRET, metadata={"tags": ["notebook-only"]}),
        new_markdown_cell("## Uno\n\n## Dos\n\n## Tres"),
        new_markdown_cell(f"## {SECRET}", metadata={"tags": ["notebook-only"]}),
    ]
    for text in render(tmp_path, cells).values():
        assert SECRET not in text
        assert str(paths.root()) not in text
        assert "Warning" not in text
        assert "script" not in Structure(text).tags


NAMES = (
    "https://example.org/y.js",
    "javascript:alert(1)",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</td></table><iframe src=https://example.org>",
    "<!-- nothing after this",
    "&lt;link rel=x>",
)
"""What somebody may call a track."""


def test_a_track_may_be_called_like_a_script(tmp_path):
    frame = pd.DataFrame({"track": NAMES})
    cells = [
        cell(shown(table(frame, "Canciones", {"track": "Canción"}))),
        cell(new_output("execute_result", data={"text/html": frame.to_html()})),
    ]
    page = render(tmp_path, cells)["05_evaluation.html"]
    assert page.count("<caption>Canciones</caption>") == 1
    for name in NAMES:
        assert page.count(escape(name, quote=False)) + page.count(escape(name)) >= 2
    assert not {"script", "img", "iframe", "link"} & set(Structure(page).tags)


@pytest.mark.parametrize(
    "html",
    [
        "<table><tr><td><script>1</script></td></tr></table>",
        '<table><tr onclick="1"><td>1</td></tr></table>',
        '<a href="https://example.org">1</a>',
        "<p>1</p><svg><script>1</script></svg>",
        '<div style="color: red"><object data="x"></object></div>',
        '<meta http-equiv="refresh" content="0; url=https://example.org">',
    ],
)
def test_what_is_more_than_a_table_is_left_out(tmp_path, html):
    cells = [cell(new_output("display_data", data={"text/html": f"{html}<p>{SECRET}</p>"}))]
    assert SECRET not in render(tmp_path, cells)["05_evaluation.html"]


def test_every_page_says_that_nothing_may_run_or_be_asked_for(tmp_path, figure):
    card = {"model_card": "# Ficha"}
    for name, text in render(tmp_path, [cell(shown(figure)), cell(shown(Facts(card)))]).items():
        policies = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
        assert len(policies) == 1, name
        allowed = dict(part.strip().split(" ", 1) for part in policies[0].split(";"))
        assert allowed["default-src"] == "'none'"
        assert "script-src" not in allowed
        # Before anything that it should hold for.
        assert text.index("Content-Security-Policy") < text.index("<style")


def test_pages_load_nothing_from_elsewhere(tmp_path, figure):
    for text in render(tmp_path, [cell(shown(figure))]).values():
        found = Structure(text)
        assert not {"script", "link", "iframe", "object"} & set(found.tags)
        for _, name, value in found.attributes:
            if name in ("src", "href", "xlink:href"):
                assert value.startswith(("#", "data:")) or re.fullmatch(
                    r"[\w.]+\.html(#.*)?", value
                ), value
        assert "url(http" not in text
        assert "@import" not in text


def test_figures_are_accessible_and_follow_the_theme(tmp_path, figure):
    page = render(tmp_path, [cell(shown(figure)), cell(shown(figure))])["05_evaluation.html"]
    assert page.count('role="img"') == 4  # each for a page and for a phone, of which one is seen
    assert page.count(f"<title>{figure.alt}</title>") == 4
    assert [page.count(f'<svg class="{form}"') for form in ("wide", "narrow")] == [2, 2]
    assert "fill: var(--ink)" in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(("profile", "synthetic"), [("local", True), ("charts", False)])
def test_synthetic_data_are_called_so(tmp_path, profile, synthetic):
    for text in render(tmp_path, [], profile).values():
        assert ("Datos sintéticos" in text) is synthetic


def test_index_opens_with_the_numbers_of_the_run(tmp_path):
    facts = {
        "macro_f1": {"value": 0.6543, "low": 0.64, "high": 0.67},
        "macro_f1_persistence": 0.6,
        "macro_f1_majority": 0.2,
        "approved": True,
        "decision": "Cumple todos los criterios: se despliega.",
        "audit_holds": True,
        "audit_records": 1030004,
        "model_card": "# Ficha\n\n| a | b |\n|---|---|\n| 1 | 2 |",
    }
    pages = render(tmp_path, [cell(shown(Facts(facts)))])
    index = pages["index.html"]
    assert "0,654" in index
    assert "[0,640; 0,670]" in index
    assert "persistencia 0,600" in index
    assert "mayoría 0,200" in index
    assert "se despliega" in index
    assert "exacta" in index
    assert "1.030.004" in index
    assert "<th>a</th>" in pages["model_card.html"]
    other = render(tmp_path, [cell(shown(Facts(facts | {"audit_holds": False})))])["index.html"]
    assert "no cuadra" in other


def test_the_first_use_of_a_word_on_a_page_leads_to_the_glossary(tmp_path):
    prose = [
        "## El nivel de antes",
        "Cada **nivel** es de una ventana; `nivel`, [un nivel](index.html).",
        "| nivel |\n|---|\n| horizonte |",
        "El macro-F1 no es el F1-beta, y los niveles ya están. Persistencia: nivelar, la MEDIA.",
        "Una carta muerta, y otras cartas muertas <nivel>",
    ]
    pages = render(tmp_path, [new_markdown_cell(text) for text in prose])
    page = pages["05_evaluation.html"]
    links = re.findall(r'<a href="glossary\.html#([^"]+)" class="word">(.*?)</a>', page)
    assert links == [
        ("nivel", "nivel"),
        ("ventana", "ventana"),
        ("macro-f1", "macro-F1"),
        ("persistencia", "Persistencia"),
        ("carta-muerta", "carta muerta"),
    ]
    assert '<strong><a href="glossary.html#nivel"' in page
    assert ">El nivel de antes</h2>" in page and "&lt;nivel&gt;" in page
    entries = pages["glossary.html"].count("<dt")
    found = re.findall(r'<dt id="([^"]+)">', pages["glossary.html"])
    assert set(found) == set(glossary.WORDS) and len(found) == entries == len(glossary.WORDS)


def test_index_says_what_has_not_been_executed(tmp_path):
    pages = render(tmp_path, [])
    assert set(pages) == {
        "index.html",
        "05_evaluation.html",
        "glossary.html",
        "comparison.html",
    }
    assert pages["index.html"].count("todavía sin ejecutar") == 5


def scored(value, **others):
    return {
        "macro_f1": {"value": value, "low": value - 0.01, "high": value + 0.01},
        "accuracy": {"value": value, "low": value - 0.01, "high": value + 0.01},
        "cost_saving": value / 3,
        "rises": {"value": value / 2, "low": value / 3, "high": value, "chance": 0.1, "k": 10},
        "audit_holds": True,
        "audit_records": round(value * 1e6),
        "approved": True,
    } | others


def test_cover_has_three_numbers_and_they_are_the_runs(tmp_path):
    first, second = (
        render(tmp_path, [cell(shown(Facts(scored(value))))])["index.html"]
        for value in (0.6543, 0.7321)
    )
    numbers = [re.findall(r"<strong>([^<]*)</strong>", page) for page in (first, second)]
    assert numbers[0][:3] == ["0,654", "33\u00a0%", "exacta"]
    assert numbers[1][:3] == ["0,732", "37\u00a0%", "exacta"]
    assert first.count('class="good"') == 3
    assert "las 10 primeras de cada país y ventana" in first and "al azar 10\u00a0%" in first


def test_comparison_says_what_changed_since_the_run_before(tmp_path):
    folder = tmp_path / "pages"
    local = params.load("local")
    more = params.load("local", horizon=6)
    alone = history.compare(history.remember(folder, scored(0.65), local, "ayer"))
    assert alone["rows"] == []
    assert history.remember(folder, scored(0.65), local, "ayer") != []
    runs = history.remember(folder, scored(0.70), more, "hoy")
    assert [run["made"] for run in runs] == ["ayer", "hoy"]
    found = history.compare(runs)
    assert found["before"] == "ayer"
    name, before, now, words = found["rows"][0]
    assert (name, before, now) == ("Macro-F1", "0,650 [0,640; 0,660]", "0,700 [0,690; 0,710]")
    assert words.startswith("mejor")
    assert ("horizon", "24", "6") in found["changed"]
    near = history.compare(history.remember(folder, scored(0.695), more, "luego"))
    assert near["rows"][0][3].startswith("sin diferencia clara")
    assert near["changed"] == []
    assert found["sentence"] == (
        "Desde la ejecución anterior (ayer), el macro-F1 pasa de 0,650 a 0,700 (mejor: los "
        "intervalos no se solapan), y cambió «horizon», de 24 a 6."
    )
    assert near["sentence"].endswith("se solapan), con los mismos parámetros.")
    same = history.compare(history.remember(folder, scored(0.695), local, "igual"))
    assert "(luego), el macro-F1 sigue en 0,695, y cambió" in same["sentence"]
    worse = history.compare(history.remember(folder, scored(0.5), more, "al final"))
    assert worse["rows"][0][3].startswith("peor")


def test_cover_says_what_changed(tmp_path):
    first = render(tmp_path, [cell(shown(Facts(scored(0.65))))])["index.html"]
    assert "Desde la ejecución anterior" not in first
    history.remember(tmp_path / "out", scored(0.6), params.load("local"), "antes")
    # Rendered again after it, as a later run is.
    again = render(tmp_path, [cell(shown(Facts(scored(0.65))))])["index.html"]
    assert "el macro-F1 pasa de 0,600 a 0,650" in again


def test_one_document_holds_every_page_and_its_links_stay_within(tmp_path, figure):
    pages = render(tmp_path, [cell(shown(figure)), new_markdown_cell("## Una parte")])
    whole = document.combined(pages)
    ids = re.findall(r'\bid="([^"]+)"', whole)
    assert len(ids) == len(set(ids))
    assert {"index", "05_evaluation", "glossary", "05_evaluation-una-parte"} <= set(ids)
    links = re.findall(r'href="([^"]+)"', whole)
    assert links
    assert [link for link in links if not link.startswith("#") or link[1:] not in ids] == []
    for page in pages.values():
        title = re.search(r"<h1>.*?</h1>", page, re.DOTALL)
        assert title is not None and title[0] in whole


def test_without_a_browser_the_pdf_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"chromium.*abre .*index\.html"):
        document.write_pdf([tmp_path / "index.html"], tmp_path / "informe.pdf")


def test_comparison_of_a_first_run_says_that_there_is_nothing_yet(tmp_path):
    page = render(tmp_path, [cell(shown(Facts(scored(0.65))))])["comparison.html"]
    assert "Todavía no hay con qué comparar" in page


def test_nothing_executed_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match="spotify-mlops notebooks"):
        report.render(params.load("local"), tmp_path, tmp_path / "out")


def test_svg_is_well_formed_and_labelled(figure):
    root = ET.fromstring(figure.svg())
    assert root.attrib["aria-label"] == figure.alt
    text = " ".join(figure.svg().split())
    assert "DATOS SINTÉTICOS" in text
    assert "Colombia (7.500)" in figure.alt
    assert "DATOS SINTÉTICOS" not in shares.bars({"a": 1, "b": 2}, "charts", "t", "u").svg()
