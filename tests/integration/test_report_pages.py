"""Every page of the reports in a real Chromium: what is seen, what is asked for, what prints."""

from __future__ import annotations

import re
from pathlib import Path

import browser
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


ENGLISH = re.compile(
    r"\b(the|and|with|from|this|that|warning|error in|traceback|file|value|rows|country|window"
    r"|true|false|none|null|nan)\b",
    re.IGNORECASE,
)
PLACES = re.compile(r"(?<![\w.])/(home|root|tmp|work|usr|var|Users)/|file://|[A-Z]:\\\\")
CODE = re.compile(r"\bimport \w+|\bdef \w+\(|SELECT |Warning:|Traceback|<class|\w+\(\w*=\w*\)")


def test_pages_hold_no_english_path_warning_or_code():
    faults = []
    for path in PAGES:
        html = path.read_text(encoding="utf-8")
        assert len(html.encode()) < 1_000_000, path.name
        # The dictionary of phase 1 names the contract's fields as they are.
        named = re.sub(r"<td[^>]*>country</td>", "", html)
        text = re.sub(r"<style.*?</style>|<[^>]+>", " ", named, flags=re.DOTALL)
        for kind in (ENGLISH, PLACES, CODE):
            faults += [f"{path.name}: {m[0]!r}" for m in kind.finditer(text)]
        assert not PLACES.search(html), path.name
    assert faults == []
