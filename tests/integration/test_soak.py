"""A deployment left alone, the short form: three simulated days (``make soak`` is a month)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from chaos import soak
from spotify_mlops.io.local import state


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
        "memory de stream: 314,572,800 antes y 1,073,741,824": {"memory": 1 << 30},
        "handles de stream: 50 antes y 200": {"handles": 200},
        "threads de stream: 80 antes y 200": {"threads": 200},
    }
    for grown, use in leaks.items():
        leaking = [
            replace(day, processes={"stream": replace(day.processes["stream"], **use)})
            for day in days[-3:]
        ]
        assert soak.growth(days[:-3] + leaking) == [f"{grown} en el último tercio."]
    for part, grown in {
        "mongo": "disco de mongo: 1,048,576 antes y 537,919,488 en el último tercio.",
        "kafka": "kafka: 100,000 bytes por día antes, 268,535,456 después.",
    }.items():
        larger = [
            replace(day, disk=day.disk | {part: day.disk[part] + (1 << 28) * number})
            for number, day in enumerate(days[-3:], 1)
        ]
        assert soak.growth(days[:-3] + larger) == [grown]
    many = [replace(day, archived_files=500) for day in days]
    assert soak.growth(many) == ["El archivo llegó a 500 ficheros."]
