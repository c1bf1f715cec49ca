"""Execute the six notebooks in order with papermill, and resume where they failed."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partialmethod
from pathlib import Path
from typing import Any

from ..config import content, paths
from ..config import params as parameters
from ..config.errors import NotebookError, ParamsError, UserError
from ..io.local import tied
from . import results
from .es import number

NOTEBOOKS = (
    "01_business",
    "02_eda",
    "03_preparation",
    "04_modeling",
    "05_evaluation",
    "06_deployment",
)
"""The six phases of CRISP-DM, in order."""
_TRAINS = "04_modeling"


@dataclass(frozen=True)
class Step:
    """Where a run is: sent before each cell and once after the last of a notebook.

    ``cell`` counts code cells from 1; after the last one ``done`` is true.
    """

    notebook: str
    number: int
    notebooks: int
    cell: int
    cells: int
    seconds: float
    done: bool = False


OnStep = Callable[[Step], None]


def run(
    profile_or_path: str | Path = "local",
    overrides: Mapping[str, Any] | None = None,
    *,
    only: str | int | None = None,
    start: str | int | None = None,
    resume: bool = False,
    progress: OnStep | None = None,
) -> list[Path]:
    """Execute notebooks one after the other and return the executed copies.

    Executed copies go to ``reports/<profile>/executed``, each with its parameters, the versions
    that it ran with and, in a JSON file beside it, what it recorded (`results`). A failure is
    remembered in the state directory, with its overrides, for ``resume``.

    Args:
        profile_or_path: the params file.
        overrides: parameters injected into every notebook.
        only: run this notebook alone (``3``, ``"03"`` or ``"03_preparation"``).
        start: begin with this one.
        resume: begin with the one that failed last time (all of them when none did).
        progress: called as cells begin.

    Raises:
        ParamsError: an unknown parameter or a bad value, or a model would be trained on content
            on which it is not allowed; before anything runs.
        NotebookError: a cell raised; the executed copy is kept.
    """
    memory = _Memory(paths.state_dir())
    overrides = dict(overrides or {})
    path = parameters.resolve(profile_or_path)
    profile = parameters.load(path).profile
    if resume:
        failed = memory.read(profile)
        start = start or failed.get("notebook")
        overrides = failed.get("overrides", {}) | overrides
    chosen = select(only=only, start=start)
    # papermill writes names into the notebook's code as they are: here those unknown are refused.
    params = parameters.load(path, **overrides)
    if _TRAINS in chosen:
        content.check_training(params)
    values = params.flat()
    injected = {name: values[name] for name in overrides} | {"profile": profile_name(path)}
    folder = made(paths.root() / "reports" / params.profile / "executed")
    done = []
    for place, name in enumerate(chosen, 1):
        memory.write(profile, {"notebook": name, "overrides": overrides})
        done.append(
            execute(name, folder, injected, place, len(chosen), progress or (lambda _: None))
        )
    memory.forget(profile)
    return done


def made(folder: Path) -> Path:
    """Return a folder for outputs, made if need be.

    Raises:
        UserError: it cannot be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"No se puede escribir en {folder}: {error.strerror}.") from error
    return folder


def profile_name(path: Path) -> str:
    """Return the profile's name for a file in ``params/``, else the absolute path."""
    path = path.resolve()
    return path.stem if path.parent == (paths.root() / "params").resolve() else str(path)


def select(*, only: str | int | None = None, start: str | int | None = None) -> tuple[str, ...]:
    """Return the notebooks that ``only`` or ``start`` name, in order.

    Raises:
        ParamsError: there is no such notebook.
    """
    if only is not None:
        return (_find(only),)
    return NOTEBOOKS if start is None else NOTEBOOKS[NOTEBOOKS.index(_find(start)) :]


def source_path(name: str) -> Path:
    """Return the notebook's file in the checkout."""
    return paths.root() / "notebooks" / f"{name}.ipynb"


@contextmanager
def console_progress() -> Iterator[OnStep]:
    """Show a bar a notebook on the terminal (plain lines when it is not one)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _print_done
        return
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("celdas"),
        TimeElapsedColumn(),
    )
    tasks: dict[str, Any] = {}
    with Bars(*columns, console=console) as bars:

        def show(step: Step) -> None:
            if step.notebook not in tasks:
                tasks[step.notebook] = bars.add_task(step.notebook, total=step.cells)
            done = step.cells if step.done else step.cell - 1
            bars.update(tasks[step.notebook], completed=done)

        yield show


def _print_done(step: Step) -> None:
    if step.done:
        print(  # noqa: T201 - progress for a log file
            f"{step.notebook}: {step.cells} celdas en {number(step.seconds, 1)} s "
            f"({step.number} de {step.notebooks})",
            file=sys.stderr,
        )


def execute(
    name: str,
    folder: Path,
    injected: Mapping[str, Any],
    number: int,
    count: int,
    progress: OnStep,
    environment: Mapping[str, str] | None = None,
) -> Path:
    """Execute one notebook into a folder and return the executed copy.

    Args:
        name: of `NOTEBOOKS`.
        folder: that is there.
        injected: values of parameters, by declared names: papermill writes them into the code.
        number: of how many (``count``) it is, for ``progress``.
        count: see ``number``.
        progress: called as cells begin.
        environment: variables of its kernel, beside those of this process.

    Raises:
        NotebookError: a cell raised; the executed copy is kept.
    """
    # Heavy, and the rest of the command line does not need them.
    import papermill
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    # It warns of each override that a notebook's parameters cell does not list; they are meant.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    source, target = source_path(name), folder / f"{name}.ipynb"
    if not source.is_file():
        raise UserError(f"Falta el cuaderno notebooks/{source.name}.")
    results.path_of(target).unlink(missing_ok=True)  # of a run before
    began = time.monotonic()
    position = {"cell": 0, "cells": _count_code_cells(source) + 1}  # and the injected one

    def report(*, done: bool = False) -> None:
        seconds = time.monotonic() - began
        progress(Step(name, number, count, position["cell"], position["cells"], seconds, done))

    def before_cell(cell: Any, cell_index: int) -> None:
        if cell.cell_type == "code":
            position["cell"] += 1
            report()

    try:
        papermill.execute_notebook(
            source,
            target,
            parameters=dict(injected),
            kernel_name="python3",
            language="python",
            kernel_manager_class=_kernel_manager(source.parent, environment or {}),
            progress_bar=False,
            on_cell_start=before_cell,
        )
    except KeyboardInterrupt:
        # The cell's task fails after the loop that would have taken its result; asyncio would
        # print the whole of it.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        raise
    except PapermillExecutionError as error:
        raise NotebookError(
            _explain(name, error.exec_count, error.ename, error.evalue, target)
        ) from error
    except (DeadKernelError, CellTimeoutError, NoSuchKernel, RuntimeError) as error:
        raise NotebookError(
            _explain(name, position["cell"], type(error).__name__, str(error), target)
        ) from error
    _keep_results(target)
    report(done=True)
    return target


def _keep_results(copy: Path) -> None:
    """Write the versions into an executed copy, and beside it what there is to know of it."""
    import nbformat

    notebook = nbformat.read(copy, as_version=4)
    notebook.metadata[results.METADATA] = {"versions": results.versions()}
    nbformat.write(notebook, copy)
    results.write(copy, results.summary(notebook))


def _explain(name: str, cell: int | None, kind: str, message: str, copy: Path) -> str:
    """Say in two lines which cell failed, why, where to look and how to go on."""
    first = re.sub(r"\s+", " ", message).strip()
    if len(first) > 300:
        first = first[:300] + "…"
    try:
        shown = copy.relative_to(paths.root())
    except ValueError:
        shown = copy
    return (
        f"El cuaderno {name} se detuvo en la celda [{cell}]: {kind}: {first}\n"
        f"Copia ejecutada: {shown}. Para seguir desde ahí: spotify-mlops notebooks --resume"
    )


def _kernel_manager(folder: Path, environment: Mapping[str, str]) -> type:
    """Return a kernel manager that runs this interpreter, whatever kernels are installed.

    It begins in ``folder``: papermill would take this whole process there, and several at once
    would end wherever the last one had found it. A kernel notices by itself only when the first
    process of the system adopts it, and a run that was killed must not go on beside the one that
    resumes it.
    """
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec

    class ThisInterpreter(AsyncKernelManager):
        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec(
                argv=[
                    *tied.words(),
                    sys.executable,
                    "-m",
                    "ipykernel_launcher",
                    # Several runs at once would wait for each other's history database.
                    "--HistoryManager.enabled=False",
                    "-f",
                    "{connection_file}",
                ],
                env={"MPLBACKEND": "agg", **environment},
                display_name="Python 3",
                language="python",
            )

        start_kernel = partialmethod(AsyncKernelManager.start_kernel, cwd=str(folder))

    return ThisInterpreter


def _find(name: str | int) -> str:
    text = str(name).removesuffix(".ipynb")
    for candidate in NOTEBOOKS:
        if candidate == text or (text.isdigit() and int(text) == int(candidate[:2])):
            return candidate
    raise ParamsError(f"No existe el cuaderno «{name}». Hay: {', '.join(NOTEBOOKS)}.")


def _count_code_cells(path: Path) -> int:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return sum(cell["cell_type"] == "code" for cell in cells)


class _Memory:
    """Which notebook a profile's last run stopped at, in the state directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, profile: str) -> dict[str, Any]:
        try:
            content = json.loads(self._path(profile).read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return content if isinstance(content, dict) else {}

    def write(self, profile: str, content: Mapping[str, Any]) -> None:
        path = self._path(profile)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content, ensure_ascii=False, default=str), encoding="utf-8")
        except OSError as error:
            raise UserError(f"No se puede escribir en {path.parent}: {error.strerror}.") from error

    def forget(self, profile: str) -> None:
        self._path(profile).unlink(missing_ok=True)

    def _path(self, profile: str) -> Path:
        return self._folder / f"notebooks-{profile}.json"
