"""Every page of the reports in a real Chromium: what is seen, what is asked for, what prints."""

from __future__ import annotations

from pathlib import Path

import browser
import nbformat
import pages
import pandas as pd
import polars as pl
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from spotify_mlops.config import params, paths
from spotify_mlops.presentation import report
from spotify_mlops.presentation.figures import eda
from spotify_mlops.presentation.narrative.show import table
from spotify_mlops.presentation.report import document

pytestmark = browser.needs_chromium

PAGES = sorted((Path(paths.root()) / "reports" / "example").glob("*.html"))
A4_CONTENT = (297 - 32) / 25.4 * 96
"""Height in CSS pixels of what fits between the margins of a printed page."""


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as found:
        yield found


@pytest.mark.parametrize("scheme", browser.SCHEMES)
@pytest.mark.parametrize("width", browser.WIDTHS)
def test_nothing_is_cut_off_asked_for_or_out_of_reach(chromium, width, scheme):
    assert PAGES
    faults = {}
    for path in PAGES:
        with browser.opened(chromium, path.as_uri(), width, scheme) as visit:
            found = [*visit.errors, *visit.outside, *browser.layout_faults(visit.page)]
            found += browser.figure_faults(visit.page)
            if width == browser.PHONE:
                found += browser.accessibility_faults(visit.page)
            if found:
                faults[path.name] = found
    assert faults == {}


@pytest.mark.parametrize("width", [360, 720, 721])
def test_figures_are_read_without_scrolling_sideways(chromium, width):
    """A small phone, and both sides of where a figure changes its form."""
    faults = {}
    for path in PAGES:
        with browser.opened(chromium, path.as_uri(), width) as visit:
            if found := browser.figure_faults(visit.page):
                faults[path.name] = found
    assert faults == {}


def test_figures_have_words_and_fit_a_printed_page(chromium):
    for path in PAGES:
        with browser.opened(chromium, path.as_uri(), 680) as visit:
            visit.page.emulate_media(media="print")
            for figure in visit.page.locator("figure.plot").all():
                box = figure.bounding_box()
                assert box is not None and box["height"] < A4_CONTENT, path.name
                assert figure.evaluate("e => getComputedStyle(e).breakInside") == "avoid"
                for svg in figure.locator("svg[role=img]").all():
                    assert svg.get_attribute("aria-label")
                    assert svg.is_visible() is ("narrow" not in str(svg.get_attribute("class")))
            assert visit.page.locator("nav.phases").is_hidden()
            assert visit.page.pdf(format="A4").startswith(b"%PDF")


def test_the_whole_report_is_one_pdf(tmp_path):
    ordered = sorted(PAGES, key=lambda path: path.name != "index.html")
    written = document.write_pdf(ordered, tmp_path / "informe.pdf").read_bytes()
    assert written.startswith(b"%PDF")
    assert written.count(b"/Type /Page\n") > 2 * len(PAGES)
    assert b"/Outlines" in written
    assert b"file:" not in written


def test_pages_hold_no_english_path_warning_or_code():
    assert pages.faults(PAGES) == []


def test_a_page_shows_all_it_has_and_runs_nothing_that_got_into_it(chromium, tmp_path):
    names = pl.DataFrame({"track": ["https://example.org/y.js", "</td><script>document.title=1"]})
    frame = pd.DataFrame(
        {"time": pd.date_range("2026-01-05", periods=3, tz="UTC"), "country": "CO", "value": 1.0}
    )
    notebook = new_notebook(cells=[new_markdown_cell("# Título")])
    dot = (  # a picture of one pixel
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
        "rkJggg=="
    )
    for data in (
        {"text/html": table(names, "Canciones", {"track": "Canción"})._repr_html_()},
        {"image/svg+xml": eda.volume(frame, "simulator", "reproducciones").svg()},
        {"image/png": dot},
    ):
        output = new_output("execute_result", data=data)
        notebook.cells.append(new_code_cell("", outputs=[output]))
    (tmp_path / "executed").mkdir()
    nbformat.write(notebook, tmp_path / "executed" / "05_evaluation.ipynb")
    report.render(params.load("local"), tmp_path / "executed", tmp_path)
    page = tmp_path / "05_evaluation.html"
    with browser.opened(chromium, page.as_uri()) as visit:
        visit.check()  # a browser tells what it blocks as an error
        assert visit.page.locator("td").all_inner_texts() == names["track"].to_list()
        assert visit.page.locator("figure svg").first.bounding_box()["height"] > 100
        assert visit.page.locator("img").evaluate("e => e.naturalWidth") == 1
        shown = visit.page.locator("body").evaluate("e => getComputedStyle(e).margin")
        assert shown == "0px"  # the style of the page holds
    spoilt = page.read_text(encoding="utf-8").replace(
        "</main>", "<script>document.title = 'run'</script><img src=x onerror=\"this.alt='run'\">"
        '<img src="https://example.org/x.png"></main>',
    )  # fmt: skip
    page.write_text(spoilt, encoding="utf-8")
    with browser.opened(chromium, page.as_uri()) as visit:
        assert "run" not in visit.page.title()
        assert visit.page.locator("img[alt=run]").count() == 0
        blocked = " ".join(e for e in visit.errors if "Content Security Policy" in e)
        for what in ("inline script", "event handler", "https://example.org/x.png"):
            assert what in blocked
