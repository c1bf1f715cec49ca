"""Which rows a condition on places in the log selects."""

from __future__ import annotations

import duckdb
import pytest

from spotify_mlops.io.bigquery import log

RECORDS = [(p, o) for p in range(3) for o in range(4)]


@pytest.mark.parametrize(
    ("places", "relation", "expected"),
    [
        ([(0, 1), (2, 3)], "=", [(0, 1), (2, 3)]),
        ([(0, 2), (1, 0)], "<", [(0, 0), (0, 1)]),
        ([(0, 2), (1, 3)], ">=", [(0, 2), (0, 3), (1, 3)]),
        ([(2, 1)], ">", [(2, 2), (2, 3)]),
        ([], "<", []),
    ],
)
def test_places(places, relation, expected) -> None:
    values = ", ".join(map(str, RECORDS))
    sql = f"SELECT * FROM (VALUES {values}) AS t(log_partition, log_offset) WHERE "
    assert duckdb.sql(sql + log.where(places, relation)).fetchall() == expected
