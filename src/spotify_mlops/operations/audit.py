"""The invariant, to the record, against the broker's own offsets.

records of the log = counted + open + dead letters + late + duplicates + heartbeats, per
partition. Each term is read from where the records really are. Those that have expired in Kafka
still count: the log begins where the archive does.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from ..config.params import Params
from ..domain import schemas
from ..domain.events.schema import DUPLICATE_KEY
from ..domain.watermark import watermark
from ..io import bigquery, kafka, retry
from ..io.bigquery import appending, log, tables, warehouse
from ..pipeline.sinks import archive, same_log
from ..sources import manifest as manifests
from . import lag
from .lag import Lag

TERMS = schemas.AUDIT_TERMS


@dataclass(frozen=True)
class Difference:
    """A count that is not what it must be."""

    term: str
    """``records`` (the log's, against those answered for), or one of ``TERMS``."""
    partition: int | None
    """None: of all of them, against what the simulator says that it put in."""
    expected: int
    found: int


@dataclass(frozen=True)
class AuditReport:
    """The audit's finding.

    ``table`` has a row a partition: ``partition``, ``records`` (the log's), the six terms,
    ``missing`` (records less terms: 0 when the invariant holds).
    """

    table: pl.DataFrame
    watermark: datetime | None
    differences: tuple[Difference, ...]
    lag: Lag
    """How far behind the streaming job was when this was found."""
    another_log: str | None = None
    """The words of the error that ends a job, where the topic is not the log of the tables."""

    @property
    def holds(self) -> bool:
        """Whether every record is answered for exactly once."""
        return not self.differences and self.another_log is None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "holds": self.holds,
            "watermark": self.watermark and self.watermark.isoformat(),
            "partitions": self.table.to_dicts(),
            "totals": self.table.drop("partition").sum().to_dicts()[0],
            "differences": [asdict(difference) for difference in self.differences],
            "another_log": self.another_log,
            "lag": self.lag.to_dict(),
        }


def audit(params: Params, *, wait: float = 30.0) -> AuditReport:
    """Check the invariant for all that is in the log now.

    Args:
        params: which log and tables.
        wait: seconds that a running job is given to write what it has read.
    """
    ends = _extent(params)
    causes = same_log.changes(params)
    return retry.until(
        lambda: _check(params, ends, causes), lambda report: report.holds or bool(causes), wait
    )


def _extent(params: Params) -> dict[int, tuple[int, int]]:
    """Return per partition the first record of the log, in Kafka or the archive, and its end."""
    archived = archive.spans(params)
    return {
        p: (min(low, archived.get(p, (low, low))[0]), high)
        for p, (low, high) in kafka.offsets(params).items()
    }


def recorded(params: Params, *, wait: float) -> AuditReport:
    """Check the invariant and keep what was found, in a dataset that is made if need be.

    Args:
        params: which log and tables.
        wait: as `audit` takes it.

    Raises:
        ServiceError: BigQuery does not take it.
        UserError: a table has other columns than declared.
    """
    warehouse.ensure_dataset(params)
    report = audit(params, wait=wait)
    record(params, report)
    return report


def record(params: Params, report: AuditReport) -> None:
    """Append what an audit found to ``spotify_audits``, one row a partition.

    Raises:
        ServiceError: BigQuery does not take it.
    """
    found = report.table.rename({"partition": "log_partition"}).with_columns(
        audited_at=pl.lit(datetime.now(UTC)),
        holds=pl.lit(report.holds),
        watermark=pl.lit(report.watermark, pl.Datetime("us", "UTC")),
    )
    appending.append(params, tables.AUDITS, found)


def _check(params: Params, ends: dict[int, tuple[int, int]], causes: list[str]) -> AuditReport:
    following = {partition: high for partition, (_, high) in ends.items()}
    below = log.where(following.items(), "<")
    reached = watermark(log.marks(params, following), params.windows.allowed_lateness)
    sizes = [(partition, high - low) for partition, (low, high) in ends.items()]
    table = pl.DataFrame(sizes, {"partition": pl.Int64, "records": pl.Int64}, orient="row")
    for part in (
        _counted(params, reached),
        _open(params, below, reached),
        _dead_letters(params, below),
        _late(params, below),
        _heartbeats(params, below),
    ):
        table = table.join(part, on="partition", how="left")
    table = (
        table.with_columns(pl.exclude("partition").fill_null(0).cast(pl.Int64))
        .with_columns(duplicates=pl.col("duplicates") + pl.col("open_duplicates"))
        .select("partition", "records", *TERMS)
        .with_columns(missing=pl.col("records") - pl.sum_horizontal(TERMS))
        .sort("partition")
    )
    # Whatever the sums say, with causes they are of two logs.
    another = same_log.explanation(params, causes) if causes else None
    return AuditReport(table, reached, _differences(params, table), lag.measure(params), another)


def _differences(params: Params, table: pl.DataFrame) -> tuple[Difference, ...]:
    found = [
        Difference("records", row["partition"], row["records"], row["records"] - row["missing"])
        for row in table.iter_rows(named=True)
        if row["missing"]
    ]
    injected = manifests.injected(params)
    totals = table.drop("partition").sum().to_dicts()[0]
    # Records of another producer are in no manifest; then there is nothing to compare with.
    whole = injected is not None and (
        totals["records"] - totals["heartbeats"] == injected["records"] - injected["heartbeats"]
    )
    if injected is not None and whole and not found:
        found = [
            Difference(term, None, injected[term], totals[term])
            for term in ("dead_letters", "late", "duplicates")
            if totals[term] != injected[term]
        ]
    return tuple(found)


def _query(params: Params, sql: str) -> pl.DataFrame:
    return bigquery.query(params, sql)


def _heartbeats(params: Params, below: str) -> pl.DataFrame:
    return _query(
        params,
        "SELECT log_partition AS partition, COUNT(*) AS heartbeats FROM {dataset}.spotify_counters "
        f"WHERE heartbeats > 0 AND {below} GROUP BY 1",
    )


def _counted(params: Params, reached: datetime | None) -> pl.DataFrame:
    limit = _literal(reached - params.windows.window) if reached else _literal(datetime(1, 1, 2))
    return _query(
        params,
        "SELECT log_partition AS partition, SUM(counted) AS counted, "
        "SUM(duplicates) AS duplicates FROM {dataset}.spotify_counters "
        f"WHERE window_start IS NOT NULL AND window_start <= {limit} GROUP BY 1",
    )


def _open(params: Params, below: str, reached: datetime | None) -> pl.DataFrame:
    key = ", ".join(DUPLICATE_KEY)
    later = f"AND window_start > {_literal(reached - params.windows.window)}" if reached else ""
    return _query(
        params,
        "SELECT log_partition AS partition, SUM(CASE WHEN nth = 1 THEN 1 ELSE 0 END) AS open, "
        "SUM(CASE WHEN nth > 1 THEN 1 ELSE 0 END) AS open_duplicates FROM ("
        "SELECT log_partition, ROW_NUMBER() OVER "
        f"(PARTITION BY {key} ORDER BY log_partition, log_offset) AS nth FROM ("
        f"SELECT DISTINCT log_partition, log_offset, {key} FROM {{dataset}}.spotify_events_rows "
        f"WHERE NOT late AND {below} {later})) GROUP BY 1",
    )


def _dead_letters(params: Params, below: str) -> pl.DataFrame:
    return _query(
        params,
        "SELECT log_partition AS partition, COUNT(*) AS dead_letters "
        f"FROM {{dataset}}.spotify_dead_letters WHERE {below} GROUP BY 1",
    )


def _late(params: Params, below: str) -> pl.DataFrame:
    return _query(
        params,
        "SELECT log_partition AS partition, COUNT(DISTINCT log_offset) AS late "
        f"FROM {{dataset}}.spotify_events_rows WHERE late AND {below} GROUP BY 1",
    )


def _literal(time: datetime) -> str:
    return f"TIMESTAMP '{time:%Y-%m-%d %H:%M:%S.%f}+00:00'"
