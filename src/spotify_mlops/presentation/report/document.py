"""The whole report as one document: every page after the other, as HTML or as a PDF."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...config.errors import UserError, one_line
from ...config.spanish import exact
from ..figures.style import with_ids

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PATIENCE = 180.0
"""Seconds that a browser may take."""
_MAIN = re.compile(r'<main id="contenido">(.*)</main>', re.DOTALL)


def combined(pages: Mapping[str, str]) -> str:
    """Return one page that holds the content of all, in their order.

    Links between them lead to their place in it.

    Args:
        pages: HTML by file name, as `pages.render` writes them; the first one is the cover.
    """
    parts = []
    for file, html in pages.items():
        (content,) = _MAIN.findall(html)
        name = Path(file).stem
        moved = with_ids(content, f"{name}-")
        parts.append(f'<section class="part" id="{name}">{moved}</section>')
    cover = next(iter(pages.values()))
    main = f'<main id="contenido">{"".join(parts)}</main>'
    whole = _MAIN.sub(lambda _: main, cover)
    whole = re.sub(r'href="(\w+)\.html"', r'href="#\1"', whole)
    return re.sub(r'href="(\w+)\.html#', r'href="#\1-', whole)


def write_pdf(written: Sequence[Path], path: Path) -> Path:
    """Print pages as one PDF with an outline, by the Chromium that is there.

    Args:
        written: the pages, the cover first.
        path: of the PDF.

    Raises:
        UserError: there is no Chromium, or it could not print.
    """
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        raise UserError(
            "No hay Chromium ni Chrome, que es quien escribe el PDF: instala el paquete "
            f"«chromium», o abre {written[0]} e imprime cada página."
        )
    with tempfile.TemporaryDirectory(prefix="spotify-mlops-") as folder:
        page = Path(folder) / "informe.html"
        pages = {each.name: each.read_text(encoding="utf-8") for each in written}
        page.write_text(combined(pages), encoding="utf-8")
        printed = Path(folder) / "informe.pdf"
        command = [
            browser,
            "--headless",
            "--disable-gpu",
            "--disable-background-networking",
            f"--user-data-dir={folder}/profile",
            "--no-pdf-header-footer",
            "--generate-pdf-document-outline",
            f"--print-to-pdf={printed}",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),  # it has none as root
            page.as_uri(),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise UserError(f"{browser} no escribió el PDF en {exact(_PATIENCE)} s.") from error
        if done.returncode != 0 or not printed.is_file():
            raise UserError(f"{browser} no pudo escribir el PDF: {one_line(done.stderr, 300)}")
        try:
            shutil.copyfile(printed, path)
        except OSError as error:
            raise UserError(f"No se puede escribir {path}: {error.strerror}.") from error
    return path
