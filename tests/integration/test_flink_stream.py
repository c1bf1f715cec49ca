"""The streaming job on a Flink cluster leaves what it leaves on Prism, whatever dies meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from worlds import closes_what_a_silent_partition_holds_open, make

from chaos import campaign, log
from chaos.faults import KILLED, Fault
from local_services import services as local_services
from spotify_mlops.io.local import processes, state

KILLS = [
    Fault(0.1, 0.0, "worker"),
    Fault(0.2, 0.0, "task-manager"),
    Fault(0.3, 0.0, "job-server"),
    Fault(0.35, 0.0, "bigquery", 1.0),
    Fault(0.45, 0.0, "stream"),
    Fault(0.45, 4.0, "job-manager"),  # while it starts again
    Fault(0.6, 0.0, "mongo", 1.0),
    Fault(0.7, 0.0, "pool"),
    Fault(0.8, 0.0, "kafka", 2.0),
]


@pytest.fixture(scope="module")
def runner(
    services: dict[str, state.Record], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[campaign.Campaign]:
    """A log, what Prism leaves of it, and a cluster, which ends with the module."""
    folder = tmp_path_factory.mktemp("flink-stream")
    on_prism = campaign.Campaign(log.publish(folder, **log.SHORT), folder / "runs")
    assert on_prism.undisturbed().differences == []
    local_services.up(task_managers=2)
    try:
        yield on_prism.on(campaign.FLINK)
    finally:
        own = [record for name, record in state.read().items() if name.startswith("flink")]
        for record in own:
            processes.halt(record)
        state.put(*(record.stopped() for record in own))


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("sources", "parallelism"), [(1, 1), (2, 2), (4, 2)])
def test_it_leaves_what_prism_leaves(
    runner: campaign.Campaign, sources: int, parallelism: int
) -> None:
    cut = {"engine_runner": "flink", "engine_sources": sources, "parallelism": parallelism}
    outcome = runner.on(cut).disturbed(f"flink-{sources}-{parallelism}", [])
    assert outcome.differences == []
    assert outcome.exits == [0]


@pytest.mark.timeout(900)
def test_whatever_is_killed_the_final_content_is_the_same(runner: campaign.Campaign) -> None:
    outcome = runner.disturbed("flink-killed", KILLS)
    assert outcome.differences == []
    assert outcome.exits[-1] == 0
    assert outcome.kills.keys() <= set(KILLED["flink"])
    assert outcome.kills["worker"] == outcome.kills["task-manager"] == 1


@pytest.mark.usefixtures("runner")
def test_a_silent_partition_holds_no_window_open() -> None:
    settings = make(partitions=2, idle_timeout="2s", **campaign.FLINK | {"engine_sources": 2})
    closes_what_a_silent_partition_holds_open(settings)
