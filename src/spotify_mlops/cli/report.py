"""``report``: the pages of what has been executed, again; to open, or as a PDF."""

from __future__ import annotations

import click

from ..config import modes, paths
from ..config.errors import UserError
from ..config.params import Params
from . import usage
from .options import answer, json_option, with_params


@click.command(cls=usage.Command)
@click.option("--pdf", "as_pdf", is_flag=True, help="Además, todo el informe en un PDF.")
@click.option("--open", "opens", is_flag=True, help="Ábrelo después.")
@with_params
@json_option
def report(as_pdf: bool, opens: bool, params: Params, as_json: bool) -> None:
    """Rehace los informes con los cuadernos ya ejecutados, sin ejecutar nada."""
    from ..presentation import report as pages
    from ..presentation.report import document

    reports = paths.root() / "reports"
    folder = reports / params.profile
    with modes.shown(reports):
        written = pages.render(params, folder / "executed", folder)
        shown = document.write_pdf(written, folder / "informe.pdf") if as_pdf else written[0]
    answer(as_json, {"report": str(shown)}, [f"Informe: {shown}"])
    if opens and click.launch(shown.as_uri()) != 0:
        raise UserError(f"Aquí no hay con qué abrirlo: abre {shown} en un navegador.")
