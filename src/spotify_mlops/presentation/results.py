"""The results of a notebook as data: its cells record them, the runner keeps them beside the copy.

A reader sees figures and sentences; who compares runs, or checks one, needs the numbers. As in
scrapbook, a cell records values by name in its own output, so that they cannot be of another run
than the figures around them.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a kernel only records: what it brings takes a second
    from nbformat import NotebookNode

MIME = "application/vnd.spotify-mlops.results+json"
"""Output type of `record`."""

METADATA = "spotify_mlops"
"""Of an executed copy: where its versions are."""

_LIBRARIES = ("spotify-mlops", "apache-beam", "onnxruntime", "pandas", "polars", "scikit-learn")

Value = str | bool | int | float | None


def record(**values: Any) -> None:
    """Record results of the running notebook; of one name, the last counts.

    Args:
        values: texts, numbers (numpy's too) or truth values, by name; what is not a number (NaN)
            is recorded as null.

    Raises:
        TypeError: a value is none of these.
    """
    from IPython.display import display

    plain = {name: _plain(name, value) for name, value in values.items()}
    said = ", ".join(f"{name} = {value}" for name, value in plain.items())
    display({MIME: plain, "text/plain": f"Anotado: {said}"}, raw=True)


def recorded(notebook: NotebookNode) -> dict[str, Value]:
    """Return what the cells of an executed notebook recorded."""
    found: dict[str, Value] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            found |= output.get("data", {}).get(MIME, {})
    return found


def versions() -> dict[str, str]:
    """Return the versions that the results depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES}


def summary(notebook: NotebookNode) -> dict[str, Any]:
    """Return what there is to know of an executed copy: parameters, versions, results."""
    run = notebook.metadata.get("papermill", {})
    return {
        "parameters": dict(run.get("parameters", {})),
        "versions": dict(notebook.metadata.get(METADATA, {}).get("versions", {})),
        "finished": run.get("end_time"),
        "seconds": run.get("duration"),
        "results": recorded(notebook),
    }


def path_of(copy: Path) -> Path:
    """Return the file beside an executed copy that has its `summary`."""
    return copy.with_suffix(".json")


def read(copy: Path) -> dict[str, Any]:
    """Return the `summary` that was kept beside an executed copy.

    Raises:
        FileNotFoundError: the copy did not come to its end.
    """
    content: dict[str, Any] = json.loads(path_of(copy).read_text(encoding="utf-8"))
    return content


def write(copy: Path, content: Mapping[str, Any]) -> None:
    """Keep a `summary` beside an executed copy."""
    text = json.dumps(content, indent=2, ensure_ascii=False, default=str)
    path_of(copy).write_text(f"{text}\n", encoding="utf-8")


def _plain(name: str, value: Any) -> Value:
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"{name} is a {type(value).__name__}: record texts, numbers or truth values")
