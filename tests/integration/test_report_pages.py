"""Every page of the reports in a real Chromium: what is seen, what is asked for, what prints."""

from __future__ import annotations

from pathlib import Path

import browser
import pages
import pytest

from spotify_mlops import paths

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
def test_nothing_is_cut_off_or_asked_for(chromium, width, scheme):
    assert PAGES
    faults = {}
    for path in PAGES:
        with browser.opened(chromium, path.as_uri(), width, scheme) as visit:
            found = [*visit.errors, *visit.outside, *browser.layout_faults(visit.page)]
            if found:
                faults[path.name] = found
    assert faults == {}


@pytest.mark.parametrize("scheme", browser.SCHEMES)
def test_pages_are_accessible(chromium, scheme):
    faults = {}
    for path in PAGES:
        with browser.opened(chromium, path.as_uri(), browser.PHONE, scheme) as visit:
            if found := browser.accessibility_faults(visit.page):
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
                assert figure.locator("svg[role=img]").first.get_attribute("aria-label")
            assert visit.page.locator("nav.phases").is_hidden()
            assert visit.page.pdf(format="A4").startswith(b"%PDF")


def test_pages_hold_no_english_path_warning_or_code():
    assert pages.faults(PAGES) == []
