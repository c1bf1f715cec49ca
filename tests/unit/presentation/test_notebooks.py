"""The notebooks as files, and the runner's decisions before anything runs."""

from __future__ import annotations

import ast
import re
from types import SimpleNamespace

import nbformat
import pytest

from local_services import services
from spotify_mlops.cli import main_job
from spotify_mlops.config import params
from spotify_mlops.config.errors import ParamsError
from spotify_mlops.presentation import narrative, notebooks

MOST_LINES = 15


@pytest.fixture(params=notebooks.NOTEBOOKS)
def notebook(request):
    return nbformat.read(notebooks.source_path(request.param), as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tagged(notebook):
    return [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]


def bound_names(source):
    """Return every name that a cell binds: assignments, imports, loops, with, walrus."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return names


def test_is_committed_without_outputs(notebook):
    nbformat.validate(notebook)
    for cell in code_cells(notebook):
        assert cell.outputs == []
        assert cell.execution_count is None


def test_defines_nothing_and_keeps_cells_short(notebook):
    for cell in code_cells(notebook):
        assert len(cell.source.splitlines()) <= MOST_LINES, cell.source
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(
                node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
            ), cell.source


def test_has_one_title(notebook):
    titles = [
        line
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if re.match(r"# ", line)
    ]
    assert len(titles) == 1
    assert notebook.cells[0].source.startswith("# ")


def test_parameters_are_declared_ones_and_only_there(notebook):
    (cell,) = tagged(notebook)
    assert cell is code_cells(notebook)[0]
    names = bound_names(cell.source)
    assert "profile" in names
    assert names <= params.names()
    for other in code_cells(notebook)[1:]:
        # `story.parameters` reads these names: another value under one would override the file.
        assert not bound_names(other.source) & params.names(), other.source


def test_parameters_cell_says_what_the_file_says(notebook):
    (cell,) = tagged(notebook)
    namespace: dict[str, object] = {}
    exec(compile(cell.source, "parameters", "exec"), namespace)
    assert narrative.parameters(namespace) == params.load("local")


def test_each_result_stands_between_texts(notebook):
    """A heading or text comes before each run of results, and something is said at the end."""
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds[0] == kinds[1] == "markdown"
    longest = max(len(run) for run in "".join(kind[0] for kind in kinds).split("m"))
    assert longest <= 4  # a query, a figure, a finding; or the set-up
    last = notebook.cells[-1].source
    assert kinds[-1] == "markdown" or "decision" in last or "facts" in last or "plan" in last


def test_no_result_is_written_by_hand(notebook):
    """Prose holds no decimal number: those come from the run."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"\d[.,]\d", cell.source), cell.source


@pytest.mark.parametrize(
    ("only", "start", "expected"),
    [
        (None, None, notebooks.NOTEBOOKS),
        (3, None, ("03_preparation",)),
        ("03", None, ("03_preparation",)),
        ("03_preparation", None, ("03_preparation",)),
        ("03_preparation.ipynb", None, ("03_preparation",)),
        (None, "5", ("05_evaluation", "06_deployment")),
    ],
)
def test_select(only, start, expected):
    assert notebooks.select(only=only, start=start) == expected


@pytest.mark.parametrize("wrong", ["7", "0", "eda", "03_prep", ""])
def test_select_refuses_what_is_not_there(wrong):
    with pytest.raises(ParamsError, match="01_business"):
        notebooks.select(only=wrong)


@pytest.mark.parametrize("name", ["horizont", "x = 1; import os", "__class__", "Horizon"])
def test_names_that_are_not_declared_are_refused(name):
    for value in (1, None):
        with pytest.raises(ParamsError, match=r"parámetro desconocido|de ningún parámetro"):
            notebooks.run("local", {name: value})


def test_a_misspelt_name_gets_a_hint():
    with pytest.raises(ParamsError, match=r"«horizont» \(¿«horizon»\?\)"):
        notebooks.run("local", {"horizont": 3})


def test_namespace_overrides_the_file_and_none_does_not():
    found = narrative.parameters({"profile": "charts", "horizon": 4, "countries": None, "other": 1})
    assert found == params.load("charts", horizon=4)


@pytest.mark.parametrize("chosen", [{}, {"only": 4}, {"start": 2}])
def test_nothing_runs_that_would_train_on_the_web_api(chosen, monkeypatch):
    monkeypatch.setattr(notebooks, "execute", lambda *given: pytest.fail("it ran"))
    with pytest.raises(ParamsError, match=r"III\.14.*webapi_training_allowed=true"):
        notebooks.run("webapi", **chosen)


@pytest.mark.parametrize(
    ("chosen", "overrides"),
    [({"only": 2}, {}), ({"start": 5}, {}), ({}, {"webapi_training_allowed": True})],
)
def test_exploring_and_predicting_need_no_permission(chosen, overrides, monkeypatch, tmp_path):
    ran = []
    monkeypatch.setattr(notebooks, "execute", lambda name, *given: ran.append(name))
    own = SimpleNamespace(root=lambda: tmp_path, state_dir=lambda: tmp_path)
    monkeypatch.setattr(notebooks, "paths", own)
    notebooks.run("webapi", overrides, **chosen)
    assert ran == list(notebooks.select(**chosen))


def test_the_main_job_says_the_policy_and_begins_nothing(monkeypatch, capsys):
    monkeypatch.setattr(services, "up", lambda *given, **more: pytest.fail("it began"))
    with pytest.raises(ParamsError, match="webapi_training_allowed=true"):
        main_job.run_all("webapi", {})
    assert "III.14" in capsys.readouterr().err
