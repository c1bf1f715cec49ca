"""One phase for several values of its parameters, each with its own outputs, and all compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import nbformat

from ..config import content, paths
from ..config import params as parameters
from ..config.errors import NotebookError, ParamsError
from ..config.params import Params
from . import notebooks, report, results
from .notebooks import OnStep, Step

ALONE = ("01_business", "02_eda", "04_modeling")
"""The phases that leave nothing behind but their own outputs, so that several can run at once."""

MOST_POINTS = 64


@dataclass(frozen=True)
class Point:
    """One combination of values, and where its outputs are."""

    values: Mapping[str, Any]
    folder: Path

    @property
    def copy_folder(self) -> Path:
        """Return the folder of the executed copy."""
        return self.folder / "executed"


def run(
    profile_or_path: str | Path,
    grid: Mapping[str, Sequence[Any]],
    *,
    only: str | int,
    jobs: int = 1,
    overrides: Mapping[str, Any] | None = None,
    progress: OnStep | None = None,
) -> Path:
    """Execute a notebook for each combination of values, and compare what they recorded.

    Each has a folder of ``reports/<profile>/grid/<notebook>``: the executed copy with what it
    recorded, and a report. What phase 4 trains is kept there too, apart from the profile's runs.

    Args:
        profile_or_path: the params file.
        grid: parameter -> values.
        only: which notebook.
        jobs: how many at once.
        overrides: the same for all.
        progress: called as cells begin, with ``notebook`` naming the values.

    Returns:
        The page that compares them.

    Raises:
        ParamsError: an unknown parameter or a bad value, too many combinations, or a phase that
            changes what the others read; before anything runs.
        NotebookError: a cell of one raised; the others were executed and are compared.
    """
    (name,) = notebooks.select(only=only)
    path = parameters.resolve(profile_or_path)
    points = _points(path, name, grid, dict(overrides or {}))
    loaded = [parameters.load(path, **(overrides or {}), **point.values) for point in points]
    for params in loaded if name == "04_modeling" else ():
        content.check_training(params)
    show = progress or (lambda _: None)

    def one(place: int) -> NotebookError | None:
        point, flat = points[place], loaded[place].flat()
        told = ", ".join(f"{key}={value}" for key, value in point.values.items())

        def step(at: Step) -> None:
            show(Step(told, place + 1, len(points), at.cell, at.cells, at.seconds, at.done))

        injected = {key: flat[key] for key in {*(overrides or {}), *point.values}}
        injected["profile"] = notebooks.profile_name(path)
        apart = {"SPOTIFY_MLOPS_TRAINING": str(point.folder / "training")}
        try:
            notebooks.execute(
                name, point.copy_folder, injected, place + 1, len(points), step, apart
            )
        except NotebookError as error:
            return error
        return None

    for point in points:
        notebooks.made(point.copy_folder)
    with ThreadPoolExecutor(jobs) as pool:
        failed = [error for error in pool.map(one, range(len(points))) if error is not None]
    index = _render(name, points, loaded)
    if failed:
        raise NotebookError(f"{failed[0]}\nComparación de los demás: {index}")
    return index


def _points(
    path: Path, name: str, grid: Mapping[str, Sequence[Any]], overrides: Mapping[str, Any]
) -> list[Point]:
    if name not in ALONE:
        raise ParamsError(
            f"--param-grid es para {', '.join(ALONE)}: {name} cambia tablas, veredictos o "
            "despliegues que las otras leen, y varias a la vez se pisarían."
        )
    if repeated := sorted(grid.keys() & {*overrides, "profile"}):
        raise ParamsError(f"--param-grid no puede cambiar {', '.join(repeated)}.")
    combinations = list(product(*grid.values()))
    if not 0 < len(combinations) <= MOST_POINTS:
        raise ParamsError(
            f"--param-grid da {len(combinations)} combinaciones: de 1 a {MOST_POINTS}."
        )
    root = paths.root() / "reports" / parameters.load(path, **overrides).profile / "grid" / name
    points = []
    for place, values in enumerate(combinations, 1):
        named = dict(zip(grid, values, strict=True))
        points.append(Point(named, root / f"{place:02}"))
    return points


def _render(name: str, points: Sequence[Point], loaded: Sequence[Params]) -> Path:
    """Write a report of each and the page that compares them; return that page."""
    found: list[tuple[Point, dict[str, Any] | None]] = []
    for point, params in zip(points, loaded, strict=True):
        copy = point.copy_folder / f"{name}.ipynb"
        if not results.path_of(copy).is_file():
            found.append((point, None))
            continue
        report.render(params, point.copy_folder, point.folder)
        found.append((point, results.summary(nbformat.read(copy, as_version=4))))
    return report.render_grid(loaded[0], name, found, points[0].folder.parent)
