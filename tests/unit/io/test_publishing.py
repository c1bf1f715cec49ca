"""What the publisher recognises as already there, and where a track goes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from spotify_mlops.domain.hashing import partition_of
from spotify_mlops.io.kafka.publishing import _match

FOREIGN = 10**6


@given(
    total=st.integers(1, 40),
    data=st.data(),
)
def test_the_published_prefix_is_recognised_among_foreign_records(
    total: int, data: st.DataObject
) -> None:
    ours = np.arange(total, dtype=np.uint64)
    published = data.draw(st.integers(0, total))
    log = list(range(published))
    for number in range(data.draw(st.integers(0, 5))):
        log.insert(data.draw(st.integers(0, len(log))), FOREIGN + number)
    cut = data.draw(st.integers(0, total))
    digests = np.array(log, dtype=np.uint64)
    first, used = _match(ours[:cut], digests)
    second, _ = _match(ours[cut:], digests[used:]) if first == cut else (0, 0)
    assert first + second == published


def test_a_partition_is_the_same_in_every_process() -> None:
    ids = pl.Series(["a", "b", "ñ", "a", "sim0007track0000000001"])
    here = partition_of(ids, 5).to_list()
    program = (
        "import polars as pl; from spotify_mlops.domain.hashing import partition_of; "
        f"print(partition_of(pl.Series({ids.to_list()!r}), 5).to_list())"
    )
    there = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == str(here)
    assert here[0] == here[3]
    assert partition_of(pl.Series([], dtype=pl.String), 5).to_list() == []


def test_tracks_are_spread_over_the_partitions() -> None:
    ids = pl.Series([f"track{number}" for number in range(4000)])
    counts = partition_of(ids, 4).value_counts()["count"]
    assert counts.min() > 800
