"""A deployment left alone, the short form: three simulated days (``make soak`` is a month)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chaos import soak
from spotify_mlops.io.local import state


@pytest.mark.timeout(600)
def test_nothing_grows_but_the_log_and_what_is_made_of_it(
    services: dict[str, state.Record], tmp_path: Path
) -> None:
    settings = soak.publish(tmp_path, days=3, clock=8640, simulator_events=6_000)
    outcome = soak.run(settings)
    assert outcome.differences == []
    assert outcome.records > 6_000
    assert {"stream", "observer", "kafka", "mongo"} <= outcome.samples[-1].processes.keys()


def _days(count: int) -> list[soak.Sample]:
    return [
        soak.Sample(
            day=day,
            seconds=day,
            records=1000 * day,
            disk={"kafka": 100_000 * day, "archive": 0, "bigquery": 0, "mongo": 1 << 20},
            archived_files=50,
            processes={"stream": soak.Use(300 << 20, 50, 80)},
        )
        for day in range(1, count + 1)
    ]


def test_what_grows_is_seen() -> None:
    days = _days(9)
    assert soak.growth(days) == []
    leaks = {
        "memory de stream": {"memory": 1 << 30},
        "handles de stream": {"handles": 200},
        "threads de stream": {"threads": 200},
    }
    for name, use in leaks.items():
        leaking = [
            replace(day, processes={"stream": replace(day.processes["stream"], **use)})
            for day in days[-3:]
        ]
        (told,) = soak.growth(days[:-3] + leaking)
        assert told.startswith(name)
    for part, size in (("mongo", 1 << 28), ("kafka", 1 << 28)):
        larger = [
            replace(day, disk=day.disk | {part: day.disk[part] + size * number})
            for number, day in enumerate(days[-3:], 1)
        ]
        (told,) = soak.growth(days[:-3] + larger)
        assert part in told
    (told,) = soak.growth([replace(day, archived_files=500) for day in days])
    assert "500 ficheros" in told
