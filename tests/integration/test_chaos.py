"""Crash equality, the short form: one disturbed run with each kind of fault (``tests/chaos``)."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from chaos import campaign, contents, log
from chaos.faults import KILLED, Fault
from spotify_mlops.io.local import state

PLAN = [
    # The log is small: raw sinks write all of it at once, so what meets them begins before.
    Fault(0, 0, "ambiguous", sink="archive"),
    Fault(0, 0, "ambiguous", sink="events"),
    Fault(0, 0, "ambiguous", sink="letters"),
    Fault(0, 0, "ambiguous", sink="append"),
    Fault(0, 0, "disk", 15.0),
    Fault(0.05, 0.5, "stream"),
    Fault(0.05, 3.0, "stream"),  # while it starts again
    Fault(0.2, 0.2, "bigquery", 1.0),
    Fault(0.35, 0.1, "prism"),
    Fault(0.45, 0.3, "clock", -3600.0),
    Fault(0.45, 0.3, "refuse", 3.0, sink="tracks"),
    Fault(0.6, 0.2, "mongo", 1.0),
    Fault(0.75, 0.2, "kafka", 2.0),
    Fault(0.9, 0.2, "stream"),
]


def test_whatever_is_killed_the_final_content_is_the_same(
    services: dict[str, state.Record], tmp_path: Path
) -> None:
    fixed = log.publish(tmp_path, **log.SHORT)
    runner = campaign.Campaign(fixed, tmp_path / "runs")
    whole = runner.undisturbed()
    assert whole.exits == [0]
    assert whole.differences == []
    assert all(content.digest.rows for content in runner.reference.values())
    disturbed = runner.disturbed("disturbed", PLAN)
    assert disturbed.differences == []
    assert disturbed.kills.keys() == set(KILLED["prism"])
    assert len(disturbed.faults) == len(PLAN)
    assert disturbed.exits[-1] == 0
    assert disturbed.exits.count(-9) == 3


def test_a_difference_is_seen() -> None:
    one, other = (contents.Content.of(pl.DataFrame({"n": n})) for n in ([1, 2, 2], [1, 2, 3]))
    assert one.difference(one) is None
    assert one.difference(other) == (
        "3 filas sin perturbar y 3 aquí: faltan 1, sobran 1; por ejemplo [{'n': 2, '_nth': 1}]"
    )
