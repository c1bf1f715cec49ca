"""What a run left behind, as readers see it, and how it differs from another run's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow.dataset as ds

from spotify_mlops.config.params import Params
from spotify_mlops.domain.events import LOG_COLUMNS
from spotify_mlops.io import bigquery, kafka, mongo
from spotify_mlops.io.archive import archived
from spotify_mlops.io.bigquery import tables
from spotify_mlops.operations import audit, compare
from spotify_mlops.pipeline.sinks import archive
from spotify_mlops.presentation.es.operations import difference_lines


@dataclass(frozen=True)
class Content:
    """The rows of one table, collection or folder, without the wall clock, and their digest."""

    rows: pl.DataFrame
    digest: compare.Digest

    @classmethod
    def of(cls, rows: pl.DataFrame) -> Content:
        """Digest rows, whatever their order."""
        return cls(rows, compare.digest(rows))

    def difference(self, other: Content) -> str | None:
        """Say how the other content differs; None when it is the same to the bit."""
        if self.digest == other.digest:
            return None
        missing, added = _without(self.rows, other.rows), _without(other.rows, self.rows)
        example = (added if missing.is_empty() else missing).head(1).to_dicts()
        return (
            f"{self.digest.rows} filas sin perturbar y {other.digest.rows} aquí: "
            f"faltan {missing.height}, sobran {added.height}; por ejemplo {example}"
        )


def _without(rows: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that the others lack, a row that is there twice counting twice."""
    nth = pl.int_range(pl.len()).over(rows.columns)
    return rows.with_columns(_nth=nth).join(
        others.with_columns(_nth=nth), on=[*rows.columns, "_nth"], how="anti", nulls_equal=True
    )


def read(params: Params) -> dict[str, Content]:
    """Return all that the streaming job of these params keeps, by name."""
    found = {
        table.name: compare.content(params, table) for table in compare.compared_tables(params)
    }
    database = mongo.database(params)
    for name in ("events", "tracks"):
        texts = [json.dumps(d, default=str, sort_keys=True) for d in database[name].find()]
        found[f"mongo {name}"] = pl.DataFrame({"document": texts}, {"document": pl.String})
    found["archive"] = _archived(params)
    return {name: Content.of(rows) for name, rows in found.items()}


def _archived(params: Params) -> pl.DataFrame:
    """Return the archived records, each once: a crash may leave one in two files."""
    files = ds.dataset(archived.raw_folder(params), partitioning=None)
    rows = pl.from_arrow(files.to_table(columns=["topic", *LOG_COLUMNS]))
    assert isinstance(rows, pl.DataFrame)
    return rows.unique()


def differences(expected: dict[str, Content], found: dict[str, Content]) -> list[str]:
    """Return where contents differ, one Spanish sentence each."""
    pairs = {name: content.difference(found[name]) for name, content in expected.items()}
    return [f"{name}: {different}" for name, different in pairs.items() if different is not None]


def faults(params: Params) -> list[str]:
    """Return what is not whole in itself, one Spanish sentence each."""
    found = difference_lines(audit.audit(params, wait=5))
    _, ends = archive.extent(params)
    for partition, (_, end) in kafka.offsets(params).items():
        if ends.get(partition) != end:
            found.append(f"El archivo de la partición {partition} no llega a {end}.")
    return found


def doubled(params: Params) -> dict[str, int]:
    """Return how many rows the tables hold beyond those that their views show: writes repeated."""
    counts = {}
    for table in compare.compared_tables(params):
        if table.over is None and table is not tables.EVENTS:
            written, shown = (
                int(bigquery.query(params, f"SELECT COUNT(*) FROM {{dataset}}.{name}").item())
                for name in (table.rows, table.name)
            )
            counts[table.name] = written - shown
    return counts


def summary(contents: dict[str, Content]) -> dict[str, Any]:
    """Return rows and digest by name, for a report."""
    return {
        name: {"rows": content.digest.rows, "sha256": content.digest.sha256}
        for name, content in contents.items()
    }
