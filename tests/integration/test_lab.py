"""JupyterLab as ``make lab`` opens it, driven in a real Chromium as its reader would."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import browser
import httpx
import nbformat
import psutil
import pytest
import worlds
from playwright.sync_api import Locator, Page

import leftovers
import lenient
from local_services import services
from spotify_mlops import sources
from spotify_mlops.config import params, paths
from spotify_mlops.io import retry
from spotify_mlops.operations import bounded
from spotify_mlops.presentation import notebooks

pytestmark = [
    browser.needs_chromium,
    pytest.mark.skipif(not os.environ.get("LAB"), reason="five minutes: make lab-test"),
]

CODESPACE = {
    "CODESPACES": "true",
    "CODESPACE_NAME": "literate-space-parakeet",
    "GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN": "app.github.dev",
}
PATIENCE = 600.0
"""Seconds that anything may take: how fast it is, is not looked at here."""
SHOWN = ".jp-NotebookPanel:not(.lm-mod-hidden)"


@dataclass(frozen=True)
class Lab:
    """A JupyterLab that runs."""

    address: str
    """With its key, as it is printed."""
    folder: Path
    """Of its notebooks."""
    make: tuple[str, ...]
    """The command, but for its target."""


@pytest.fixture
def lab(own_state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """``make lab`` with notebooks and services of its own, over a small log that was processed."""
    checkout = paths.root()
    make = ("make", "-C", str(checkout), "-o", ".venv/.locks", f"BIN={Path(sys.executable).parent}")
    for folder in ("notebooks", "params"):
        shutil.copytree(checkout / folder, tmp_path / "home" / folder)
    environment = {
        "SPOTIFY_MLOPS_HOME": str(tmp_path / "home"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        # Nobody's own settings, kernels and workspaces.
        **{f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")},
        **CODESPACE,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    worlds.in_environment(monkeypatch, worlds.NOTEBOOKS | lenient.GATE)
    services.up(timeout=PATIENCE)
    settings = params.load("local")
    sources.ingest_simulator(settings)
    bounded.run(settings)
    with _opened(make, tmp_path / "log") as address:
        yield Lab(address, tmp_path / "home" / "notebooks", make)
    services.down()
    assert list(leftovers.running(own_state)) == []


@contextmanager
def _opened(make: tuple[str, ...], log: Path) -> Iterator[str]:
    """Run ``make lab`` as root or whoever it is, and give the address that it prints."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*make, "lab", "LAB_OPTIONS=--no-browser --port=0"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:

        def printed() -> str:
            assert process.poll() is None, log.read_text()
            found = re.search(r"http://127\.0\.0\.1:\d+/lab\S*token=\w+", log.read_text())
            return found[0] if found else ""

        yield retry.until(printed, bool, PATIENCE)
    finally:
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children(recursive=True):
                if any(word.endswith("jupyter-lab") for word in child.cmdline()):
                    child.terminate()  # and it ends its kernels
        process.wait(PATIENCE)


def test_notebooks_are_opened_run_and_changed_in_jupyterlab(lab: Lab) -> None:
    _asks_for_its_key(lab.address)
    first = notebooks.NOTEBOOKS[0]
    with browser.chromium() as chromium, browser.opened(chromium, lab.address) as visit:
        page = visit.page
        page.set_default_timeout(1000 * PATIENCE)
        start = page.locator(".jp-MarkdownViewer .jp-RenderedMarkdown")
        start.get_by_role("heading", name="Por dónde empezar").wait_for()
        links = start.locator("td a").all()
        assert len(links) == len(notebooks.NOTEBOOKS)
        for name, link in zip(notebooks.NOTEBOOKS, links, strict=True):
            page.get_by_role("tab", name="INICIO.md").click()
            link.click()
            panel = _run_all(page, name)
            _check(panel, lab.folder / f"{name}.ipynb")
            if name != first:
                _choose(page, "File", "Close and Shut Down Notebook…")
                page.get_by_role("dialog").get_by_role("button", name="Ok").click()
                page.get_by_role("tab", name=f"{name}.ipynb").wait_for(state="detached")

        # ``make stop`` leaves it open. In a cell services come up again, and the same kernel,
        # with other parameters, gives other results.
        subprocess.run([*lab.make, "stop"], check=True, stdout=subprocess.DEVNULL)
        assert "running" not in {found.state for found in services.status()}
        page.get_by_role("tab", name=f"{first}.ipynb").click()
        parameters = page.locator(SHOWN).locator(".jp-CodeCell").first
        written = nbformat.read(lab.folder / f"{first}.ipynb", 4).cells
        source = next(cell.source for cell in written if cell.cell_type == "code")
        changed = source.replace("horizon = None", "horizon = 3")
        parameters.locator(".cm-content").click()
        page.keyboard.press("Control+a")
        page.keyboard.insert_text(f"!spotify-mlops up\n{changed}")
        said = _check(_run_all(page, first), lab.folder / f"{first}.ipynb")
        assert "3 horas después seguirá" in said
        assert {found.state for found in services.status() if found.kind == "service"} == {
            "running"
        }
    assert (visit.errors, visit.outside) == ([], [])


def _asks_for_its_key(address: str) -> None:
    """Without the key nothing is served; with it, no page of another site is, but a codespace's."""
    parts = httpx.URL(address)
    ours = "https://{CODESPACE_NAME}-{}.{GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN}"
    with httpx.Client(base_url=parts.join("/"), follow_redirects=True, timeout=PATIENCE) as client:
        assert client.get("/api/contents").status_code == 403
        assert client.get(address).status_code == 200
        for origin, status in (
            (ours.format(parts.port, **CODESPACE), 200),
            ("https://evil.example", 404),
            (f"{ours.format(parts.port, **CODESPACE)}.evil.example", 404),
        ):
            found = client.get("/api/contents", headers={"Origin": origin})
            assert found.status_code == status, origin


def _choose(page: Page, menu: str, item: str) -> None:
    page.get_by_role("menuitem", name=menu, exact=True).click()
    page.locator(".lm-Menu-itemLabel").get_by_text(item, exact=True).click()


def _run_all(page: Page, name: str) -> Locator:
    """Run all cells of a notebook that is opened, to the end or an error; return its panel."""
    page.get_by_role("tab", name=f"{name}.ipynb", selected=True).wait_for()
    panel = page.locator(SHOWN)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    before = {count for count in _counts(panel) if count}
    # Nothing runs where the kernel is not there yet, and cells appear one by one.
    while set(now := _counts(panel)) <= before | {""}:
        _choose(page, "Run", "Run All Cells")
        page.wait_for_timeout(1000)
    while "*" in now:  # all wait at once; what comes after an error waits no longer
        page.wait_for_timeout(100)
        now = _counts(panel)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    return panel


def _counts(panel: Locator) -> list[str]:
    """Return what stands beside each code cell: its number, ``*`` while it waits, or nothing."""
    prompts = panel.locator(".jp-CodeCell .jp-InputArea-prompt")
    found: list[str] = prompts.evaluate_all(
        "all => all.map((e) => e.textContent.replace(/[^0-9*]/g, ''))"
    )
    return found


def _check(panel: Locator, path: Path) -> str:
    """Save what is shown; assert that it ran whole, its figures are seen, and return its text."""
    _choose(panel.page, "File", "Save Notebook")
    shown = _counts(panel)

    def saved() -> list[Any]:
        try:
            cells = [c for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
        except nbformat.reader.NotJSONError:  # it is being written
            return []
        return cells if [str(c.execution_count or "") for c in cells] == shown else []

    cells = retry.until(saved, bool, PATIENCE)
    outputs = [output for cell in cells for output in cell.outputs]
    failed = [output for output in outputs if output.output_type == "error"]
    assert failed == []
    assert [*map(int, shown)] == [*range(int(shown[0]), int(shown[0]) + len(cells))]
    figures = sum("image/svg+xml" in output.get("data", {}) for output in outputs)
    browser.wait_for(
        panel.page,
        """async ([shown, wanted]) => {
            const images = [...document.querySelectorAll(`${shown} .jp-OutputArea-output img`)];
            const seen = [];
            for (const image of images) {
                image.scrollIntoView();
                await image.decode();
                const box = image.getBoundingClientRect();
                seen.push(image.naturalWidth > 0 && box.width > 300 && box.height > 80);
            }
            return seen.length === wanted && seen.every(Boolean);
        }""",
        [SHOWN, figures],
        PATIENCE,
    )
    return "".join(output.get("data", {}).get("text/markdown", "") for output in outputs)
