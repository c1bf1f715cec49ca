"""What a notebook shows besides figures: sentences, tables, and facts for the index page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

import pandas as pd
import polars as pl

from ..es import number

FACTS_MIME = "application/vnd.spotify-mlops.facts+json"
"""Output type of `Facts`; the report collects them from the executed notebooks."""

Kind = Literal["finding", "decision", "warning", "prose"]
Format = Callable[[Any], str]


@dataclass(frozen=True)
class Text:
    """A paragraph or list in Markdown, generated from the run's numbers.

    ``kind`` says what it is for the reader: a finding, a decision or a warning.
    """

    markdown: str
    kind: Kind = "finding"

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        data = {"text/markdown": self.markdown, "text/plain": self.markdown}
        return data, {"text/markdown": {"kind": self.kind}}


@dataclass(frozen=True)
class Table:
    """A small table ready to read: texts already formatted, numbers to the right."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]

    def _repr_html_(self) -> str:
        head = "".join(
            f'<th scope="col"{_align(right)}>{escape(name)}</th>'
            for name, right in zip(self.header, self.numeric, strict=True)
        )
        body = "".join(
            "<tr>"
            + "".join(
                f"<td{_align(right)}>{escape(text)}</td>"
                for text, right in zip(row, self.numeric, strict=True)
            )
            + "</tr>"
            for row in self.rows
        )
        return (
            f"<table><caption>{escape(self.caption)}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )

    def __str__(self) -> str:
        return "\n".join([self.caption, *("  ".join(row) for row in (self.header, *self.rows))])


@dataclass(frozen=True)
class Facts:
    """Values that the index page shows, kept with the notebook that found them."""

    values: Mapping[str, Any]

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {FACTS_MIME: dict(self.values), "text/plain": ""}


def table(
    frame: pl.DataFrame | pd.DataFrame,
    caption: str,
    columns: Mapping[str, str | tuple[str, Format]],
    limit: int = 15,
) -> Table:
    """Return the first rows of a frame as a table.

    Args:
        frame: any frame with the named columns.
        caption: what the table holds.
        columns: column name -> heading, or heading and how to write a value. Without it
            whole numbers get thousands, others two decimals, nulls a dash.
        limit: rows at most.
    """
    frame = pl.from_pandas(frame) if isinstance(frame, pd.DataFrame) else frame
    shown = frame.head(limit)
    header, formats, numeric = [], [], []
    for name, wanted in columns.items():
        heading, write = (wanted, _plain) if isinstance(wanted, str) else wanted
        header.append(heading)
        formats.append(write)
        numeric.append(shown.schema[name].is_numeric())
    rows = tuple(
        tuple(write(value) for write, value in zip(formats, row, strict=True))
        for row in shown.select(list(columns)).iter_rows()
    )
    return Table(caption, tuple(header), rows, tuple(numeric))


def listing(caption: str, rows: Sequence[Sequence[str]], header: Sequence[str]) -> Table:
    """Return a table of texts as they are."""
    return Table(caption, tuple(header), tuple(tuple(r) for r in rows), (False,) * len(header))


def _plain(value: Any) -> str:
    if value is None:
        return number(None)
    if isinstance(value, bool):
        return "sí" if value else "no"
    if isinstance(value, int):
        return number(value)
    if isinstance(value, float):
        return number(value, 0 if value.is_integer() else 2)
    return str(value)


def _align(right: bool) -> str:
    return ' class="n" style="text-align:right"' if right else ' style="text-align:left"'
