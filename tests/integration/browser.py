"""Pages as people meet them: a real Chromium at a width and colour scheme, and what to check."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

PHONE, LAPTOP, PROJECTOR = 390, 1366, 1920
WIDTHS = (PHONE, LAPTOP, PROJECTOR)
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
_HEIGHTS = {PHONE: 844, LAPTOP: 768}
LEAST_LETTER = 9.0
"""CSS pixels: a smaller letter in a figure is not read without enlarging the page."""
_LAYOUT = Path(__file__).with_name("layout_faults.js")
_FIGURES = Path(__file__).with_name("figure_faults.js")
_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

needs_chromium = pytest.mark.skipif(
    _CHROMIUM is None, reason="no hay Chromium: instala el paquete «chromium» de Debian"
)


@dataclass
class Visit:
    """An open page with what went wrong in it since it was opened."""

    page: Page
    errors: list[str] = field(default_factory=list)
    """Console errors, exceptions of scripts, answers of 400 or more, requests that failed."""
    outside: list[str] = field(default_factory=list)
    """Addresses that it asked for and that are not on this machine."""

    def check(self) -> None:
        """Assert that nothing went wrong, and that nothing is cut off or overlaps."""
        assert self.errors == []
        assert self.outside == []
        assert layout_faults(self.page) == []


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    """Give a browser without a window, with more arguments if need be."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=_CHROMIUM,
            args=[
                *("--no-sandbox", "--disable-background-networking", "--force-color-profile=srgb"),
                *arguments,
            ],
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Browser, url: str, width: int = LAPTOP, scheme: Scheme = "light", **context: Any
) -> Iterator[Visit]:
    """Open a page in a profile of its own, and wait for its ``load`` event.

    Args:
        browser: of ``chromium``.
        url: ``http://127.0.0.1...`` or ``file://...``.
        width: of the window, in CSS pixels.
        scheme: what the page is told that its user prefers.
        context: more arguments of ``Browser.new_context``.
    """
    options: dict[str, Any] = {
        "viewport": {"width": width, "height": _HEIGHTS.get(width, 1080)},
        "color_scheme": scheme,
        "locale": "es-ES",
        "timezone_id": "UTC",
    }
    own = browser.new_context(**(options | context))
    page = own.new_page()
    visit = Visit(page)
    _listen(visit)
    try:
        page.goto(url, wait_until="load")
        yield visit
    finally:
        own.close()


def _listen(visit: Visit) -> None:
    page, errors = visit.page, visit.errors

    def asked(address: str) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("data", "blob", "file") and parts.hostname != "127.0.0.1":
            visit.outside.append(address)

    page.on("request", lambda request: asked(request.url))
    page.on("websocket", lambda socket: asked(socket.url))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "response",
        lambda answer: (
            errors.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None
        ),
    )


def wait_for(page: Page, expression: str, argument: Any = None, patience: float = 180.0) -> None:
    """Wait until an expression of the page is true.

    Playwright's own way evaluates text in the page, which a strict Content-Security-Policy refuses.
    """
    deadline = time.monotonic() + patience
    while not page.evaluate(expression, argument):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(50)


def accessibility_faults(page: Page) -> list[str]:
    """Return axe-core's serious and critical findings, a line each."""
    return [
        f"{found['id']} ({found['impact']}): {node['target']} {node.get('failureSummary', '')}"
        for found in Axe().run(page).response["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]


def layout_faults(page: Page) -> list[str]:
    """Return what sticks out of the page, is cut off or lies over something else, a line each.

    What may be scrolled to is not cut off; what is hidden from sight is not looked at. Texts are
    compared by the boxes of their lines, so that a box may lie inside another.
    """
    faults: list[str] = page.evaluate(_LAYOUT.read_text(encoding="utf-8"))
    return faults


def figure_faults(page: Page) -> list[str]:
    """Return what keeps a report's figures from being read at this width, a line each.

    Each is seen in one form, whole, in no box that must be scrolled sideways to see it, with
    letters of ``LEAST_LETTER`` at least.
    """
    faults: list[str] = page.evaluate(_FIGURES.read_text(encoding="utf-8"), LEAST_LETTER)
    return faults
