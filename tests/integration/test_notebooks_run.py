"""The runner on real kernels, with small notebooks in a checkout of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pages
import psutil
import pytest

from spotify_mlops.config.errors import NotebookError, ParamsError
from spotify_mlops.presentation import notebooks, results, sweep

PARAMETERS = 'profile = "local"\nhorizon = None'


def write_notebook(path: Path, *cells: str) -> None:
    first = nbformat.v4.new_code_cell(PARAMETERS)
    first.metadata["tags"] = ["parameters"]
    rest = [nbformat.v4.new_code_cell(source) for source in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=[first, *rest]), path)


def outputs(path: Path) -> str:
    return "".join(
        output.get("text", "") for cell in nbformat.read(path, 4).cells
        for output in cell.get("outputs", [])
    )  # fmt: skip


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with six notebooks that print their parameters and their interpreter."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "local.yaml").write_text("profile: local\n", encoding="utf-8")
    for name in notebooks.NOTEBOOKS:
        write_notebook(
            tmp_path / "notebooks" / f"{name}.ipynb",
            "import sys, os; print(profile, horizon, sys.executable, os.getcwd())",
        )
    monkeypatch.setenv("SPOTIFY_MLOPS_HOME", str(tmp_path))
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / ".state"))
    return tmp_path


def test_runs_in_order_with_the_parameters_and_this_interpreter(checkout):
    steps = []
    done = notebooks.run("local", {"horizon": 5}, start=5, progress=steps.append)
    assert [path.stem for path in done] == ["05_evaluation", "06_deployment"]
    assert done[0].parent == checkout / "reports" / "local" / "executed"
    assert outputs(done[0]).split() == ["local", "5", sys.executable, str(checkout / "notebooks")]
    assert [s.notebook for s in steps if s.done] == ["05_evaluation", "06_deployment"]
    assert [s.cell for s in steps if s.notebook == "05_evaluation"] == [1, 2, 3, 3]
    assert {s.cells for s in steps} == {3}


def test_stops_at_the_failing_cell_and_resumes_there(checkout):
    broken = checkout / "notebooks" / "02_eda.ipynb"
    write_notebook(broken, "1 + 1", 'raise ValueError("no hay\\n filas")', "print('never')")
    with pytest.raises(NotebookError) as caught:
        notebooks.run("local", {"horizon": 9})
    message = str(caught.value)
    assert "02_eda se detuvo en la celda [4]: ValueError: no hay filas" in message
    assert len(message.splitlines()) == 2
    executed = checkout / "reports" / "local" / "executed"
    assert "never" not in outputs(executed / "02_eda.ipynb")
    assert not (executed / "03_preparation.ipynb").exists()

    write_notebook(broken, "print(horizon)")
    done = notebooks.run("local", resume=True)
    assert [path.stem for path in done] == list(notebooks.NOTEBOOKS[1:])
    assert outputs(done[0]).strip() == "9"  # the overrides of the failed run
    again = notebooks.run("local", resume=True, only=1)
    assert outputs(again[0]).startswith("local None")  # nothing failed: nothing remembered


def test_what_cells_record_is_kept_beside_the_copy_with_parameters_and_versions(checkout):
    broken = checkout / "notebooks" / "02_eda.ipynb"
    record = "import numpy as np; from spotify_mlops.presentation.narrative import record"
    write_notebook(broken, record, "record(rows=np.int64(3), share=float('nan'))",
                   "record(rows=horizon, name='ñ', right=True)")  # fmt: skip
    (copy,) = notebooks.run("local", {"horizon": 5}, only=2)
    kept = results.read(copy)
    assert kept["results"] == {"rows": 5, "share": None, "name": "ñ", "right": True}
    assert kept["parameters"] == {"profile": "local", "horizon": 5}
    assert kept["versions"] == results.versions() and "polars" in kept["versions"]
    assert nbformat.read(copy, 4).metadata["spotify_mlops"] == {"versions": kept["versions"]}
    assert kept["seconds"] > 0
    # A run that does not come to its end leaves none: the one before is not of this copy.
    write_notebook(broken, record, "record(rows=[1])")
    with pytest.raises(NotebookError, match="TypeError: rows is a list"):
        notebooks.run("local", only=2)
    assert not results.path_of(copy).exists()


def test_a_dead_kernel_is_an_error_of_its_notebook(checkout):
    write_notebook(checkout / "notebooks" / "01_business.ipynb", "import os; os._exit(3)")
    with pytest.raises(NotebookError, match="01_business se detuvo en la celda"):
        notebooks.run("local", only=1)


def test_an_unknown_name_runs_nothing(checkout):
    with pytest.raises(ParamsError, match="horizont"):
        notebooks.run("local", {"horizont": 3})
    with pytest.raises(ParamsError, match="horizon"):
        notebooks.run("local", {"horizon": 0})
    assert not (checkout / "reports").exists()


def test_ctrl_c_leaves_no_kernel_and_the_next_run_resumes(checkout):
    flag = checkout / "started"
    write_notebook(
        checkout / "notebooks" / "02_eda.ipynb",
        f"import os, pathlib, threading; pathlib.Path({str(flag)!r}).write_text(str(os.getpid()))",
        "threading.Event().wait()",
    )
    # Whoever runs the tests in the background may have made them deaf to SIGINT.
    hear = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = (
        f"{hear}; from spotify_mlops.presentation import notebooks; notebooks.run('local', start=2)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", command], env=os.environ.copy(), stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 180
    while not (flag.exists() and flag.read_text()) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    kernel = psutil.Process(int(flag.read_text()))
    process.send_signal(signal.SIGINT)
    assert process.wait(60) != 0
    kernel.wait(60)
    memory = json.loads((checkout / ".state" / "notebooks-local.json").read_text())
    assert memory["notebook"] == "02_eda"


def test_a_grid_runs_a_phase_for_each_value_and_compares_them(checkout):
    write_notebook(
        checkout / "notebooks" / "04_modeling.ipynb",
        "import os; from spotify_mlops.presentation.narrative import record",
        "record(validation_macro_f1=horizon / 8); print(os.environ['SPOTIFY_MLOPS_TRAINING'])",
    )
    steps, folders = [], set()

    def note(step):
        steps.append(step)
        folders.add(Path.cwd())

    grid = {"horizon": [1, 4, 8], "model_seed": [3]}
    here = Path.cwd()
    page = sweep.run("local", grid, only=4, jobs=2, progress=note)
    assert folders == {here}  # only a kernel goes to the notebooks' folder
    folder = checkout / "reports" / "local" / "grid" / "04_modeling"
    assert page == folder / "index.html"
    html = page.read_text(encoding="utf-8")
    shown = [
        re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall("<tr>(<td.*?)</tr>", html)
    ]
    assert [row[1:4] for row in shown] == [
        ["1", "3", "0,125"], ["4", "3", "0,500"], ["8", "3", "1,000"]
    ]  # fmt: skip
    for place, horizon in enumerate(grid["horizon"], 1):
        point = folder / f"{place:02}"
        copy = point / "executed" / "04_modeling.ipynb"
        kept = results.read(copy)
        assert kept["parameters"] == {"profile": "local", "horizon": horizon, "model_seed": 3}
        # What is trained here is not the profile's latest run, which phase 5 would judge.
        assert outputs(copy).strip() == str(point / "training")
        assert f"{place:02}/04_modeling.html" in html and (point / "04_modeling.html").is_file()
    assert {step.notebook for step in steps if step.done} == {
        f"horizon={horizon}, model_seed=3" for horizon in grid["horizon"]
    }
    assert pages.faults([page]) == []
    # Nothing is left for a later ``--resume`` of the profile.
    assert not (checkout / ".state" / "notebooks-local.json").exists()


def test_a_value_that_fails_does_not_take_the_others_along(checkout):
    write_notebook(
        checkout / "notebooks" / "02_eda.ipynb",
        "from spotify_mlops.presentation.narrative import record",
        "record(rows=60 // (horizon - 4))",
    )
    with pytest.raises(NotebookError, match=r"ZeroDivisionError(.|\n)*Comparación de los demás"):
        sweep.run("local", {"horizon": [1, 4, 8]}, only="02", jobs=3)
    html = (checkout / "reports/local/grid/02_eda/index.html").read_text(encoding="utf-8")
    assert html.count("falló") == 1 and "\u221220" in html and ">15<" in html


@pytest.mark.parametrize(
    ("grid", "chosen", "message"),
    [
        ({"horizon": [1, 2]}, {"only": 3}, "se pisarían"),
        ({"horizon": [1, 0]}, {"only": 4}, "horizon"),
        ({"horizon": []}, {"only": 4}, "0 combinaciones"),
        ({"horizon": list(range(1, 70))}, {"only": 4}, "69 combinaciones"),
        ({"horizon": [1]}, {"only": 4, "overrides": {"horizon": 2}}, "no puede cambiar horizon"),
    ],
)
def test_a_grid_that_cannot_be_runs_nothing(checkout, grid, chosen, message):
    with pytest.raises(ParamsError, match=message):
        sweep.run("local", grid, **chosen)
    assert not (checkout / "reports").exists()
