"""The page that compares executions of one notebook with several values of its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ...config.params import Params
from ..es import number
from ..es.names import RESULT_NAMES
from . import pages


class Point(Protocol):
    """A combination of values, and the folder of its report."""

    @property
    def values(self) -> Mapping[str, Any]:
        """Return the values of the parameters that differ."""

    @property
    def folder(self) -> Path:
        """Return where its report is."""


def render_grid(
    params: Params,
    name: str,
    found: Sequence[tuple[Point, Mapping[str, Any] | None]],
    folder: Path,
) -> Path:
    """Write ``index.html``: a row a combination, with what its notebook recorded.

    Args:
        params: of one of them: profile and source.
        name: of the notebook.
        found: each combination with its `results.summary`; None where it did not come to its end.
        folder: where the page goes; the reports are in folders of it.
    """
    ended = [summary for _, summary in found if summary is not None]
    recorded = list(dict.fromkeys(key for summary in ended for key in summary["results"]))
    rows = [
        {
            "href": f"{point.folder.name}/{name}.html" if summary else None,
            "values": [_written(value) for value in point.values.values()],
            "results": [
                _written(summary["results"].get(key)) if summary else number(None)
                for key in recorded
            ],
            "seconds": number(summary["seconds"] if summary else None, 1),
        }
        for point, summary in found
    ]
    html = pages.page(
        "grid.html.j2",
        params,
        max((pages.finished(s["finished"]) for s in ended), default=""),
        links=(),
        phase=pages.PHASES[name],
        parameters=list(found[0][0].values),
        results=[RESULT_NAMES.get(key, key) for key in recorded],
        rows=rows,
    )
    return pages.write({"index.html": html}, folder)[0]


def _written(value: Any) -> str:
    """Write a value as a reader expects it: few decimals, more where they are all that there is."""
    if isinstance(value, bool):
        return "sí" if value else "no"
    if isinstance(value, int):
        return number(value)
    if isinstance(value, float):
        return number(value, 3 if abs(value) >= 0.001 or value == 0 else 7)
    return number(None) if value is None else str(value)
