"""What the production form costs: its parts, its prices, its figures, its limit."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_mlops.config import params
from spotify_mlops.config.errors import ParamsError
from spotify_mlops.config.params import Params
from spotify_mlops.config.spanish import number
from spotify_mlops.operations.cloud import cost, figures, prices, shape
from spotify_mlops.presentation.es import cloud as words
from thorough import examples

ROOT = Path(__file__).resolve().parents[3]
GCP = params.load("gcp")
rates = st.floats(0.01, 1e6)
months = st.floats(0, 60)
freshness = st.floats(2, 600)
profiles = st.builds(
    GCP.replace,
    simulator_tracks=st.integers(10, 10**6),
    window=st.sampled_from(["1s", "10m", "1h", "7d"]),
    lags=st.sampled_from([[1], [1, 2, 3, 6, 144]]),
    engine_sources=st.integers(1, 64),
    warehouse_retention=st.sampled_from([None, "1d", "90d", "3650d"]),
    log_retention=st.sampled_from(["1d", "30d", "400d"]),
    serving_machine=st.sampled_from(["n2-standard-2", "a3-mega"]),
    atlas_tier=st.sampled_from(["M10", "M30", "M700"]),
)


@examples(25)
@given(profiles, rates, months, freshness)
def test_a_total_is_the_sum_of_its_parts_and_tells_what_it_leaves_out(
    profile: Params, rate: float, after: float, fresh: float
) -> None:
    found = cost.estimate(profile, rate, after, fresh)
    known = [line.usd for line in found.lines if line.usd is not None]
    assert all(usd >= 0 for usd in known)
    assert all(line.quantity >= 0 for line in found.lines)
    assert found.total == pytest.approx(math.fsum(known))
    assert {line.resource for line in found.unknown} == {
        line.resource for line in found.lines if line.price.usd is None
    }
    assert ("vertex_endpoint" in found.to_dict()["unknown"]) == (
        profile.cloud.serving_machine == "a3-mega"
    )
    assert sum(found.by_service().values()) == pytest.approx(found.total)
    json.dumps(found.to_dict(), default=str)


@examples(25)
@given(profiles, rates, rates, months, freshness)
def test_more_events_never_cost_less(
    profile: Params, one: float, other: float, after: float, fresh: float
) -> None:
    fewer, more = sorted((one, other))
    low = cost.estimate(profile, fewer, after, fresh)
    high = cost.estimate(profile, more, after, fresh)
    assert low.total <= high.total * (1 + 1e-12)
    assert (low.workers, low.kafka_vcpus) <= (high.workers, high.kafka_vcpus)
    assert set(low.over) <= set(high.over)


@examples(25)
@given(profiles, rates, freshness)
def test_the_cheapest_shape_holds_the_rate_and_no_other_is_cheaper(
    profile: Params, rate: float, fresh: float
) -> None:
    best = shape.cheapest(profile, rate, fresh)
    work = shape.load(profile, rate)
    vcpus = shape.vcpus_needed(work, fresh)
    holding = []
    for name in shape.CANDIDATES:
        kind = shape.machine(name)
        assert kind is not None
        for count in (1, 2, 3, math.ceil(vcpus / kind.vcpus) if vcpus < 1e6 else 1):
            fits = kind.memory_gib >= figures.WORKER_GIB + figures.PROCESS_GIB * kind.vcpus
            if fits and count * kind.vcpus >= vcpus and count <= shape.MOST_WORKERS:
                holding.append(count * kind.hour)
    if best is None:
        assert not holding or shape.kafka_vcpus_needed(work) > shape.MOST_KAFKA_VCPUS
        return
    assert best.vcpus >= vcpus
    kafka = shape.kafka_hour(best.kafka_vcpus, best.kafka_memory_gib)
    assert best.month == pytest.approx(prices.HOURS * (min(holding) + kafka))
    assert best.kafka_vcpus <= best.kafka_memory_gib <= 8 * best.kafka_vcpus


def test_nothing_is_as_fresh_as_what_was_never_reached() -> None:
    assert shape.cheapest(GCP, 1, figures.CLOSING_SECONDS) is None
    assert cost.estimate(GCP, 1, freshness=1).over == ("freshness",)


def test_a_large_rate_says_what_the_profile_lacks() -> None:
    found = cost.estimate(GCP, 100_000)
    assert found.over == ("dataflow_max_workers", "kafka_vcpus")
    assert found.workers == math.ceil(100_000 * figures.EVENT_CPU / figures.BUSY / 2)
    assert found.kafka_vcpus == 13  # 32.3 MB/s, three copies and a reader: 121 MB/s at 10 a vCPU


def test_kafka_is_sized_by_the_rule_of_its_documents() -> None:
    # Of the page's own words: (3 x produced + (consumed + 2 x produced) / 4) / 20 MB/s / 50 %.
    produced = 100.0
    work = shape.Load(1, 0, 0, produced * 1e6)
    expected = math.ceil((3 * produced + 3 * produced / 4) / 20 / 0.5)
    assert shape.kafka_vcpus_needed(work) == expected == 38


@pytest.mark.parametrize(
    ("name", "vcpus", "memory"),
    [
        ("n2-standard-2", 2, 8),
        ("n1-standard-4", 4, 15),
        ("n2-highcpu-8", 8, 8),
        ("n2d-highmem-2", 2, 16),
    ],
)
def test_a_machine_says_what_it_has(name: str, vcpus: int, memory: float) -> None:
    assert shape.machine(name) == shape.Machine(name, vcpus, memory)


def test_a_machine_that_does_not_is_refused() -> None:
    assert shape.machine("f1-micro") is None
    with pytest.raises(ParamsError, match="dataflow_machine es «f1-micro»"):
        cost.estimate(GCP.replace(dataflow_machine="f1-micro"))


def test_the_limit_refuses_what_is_above_it() -> None:
    total = cost.estimate(GCP).total
    assert cost.check_limit(GCP.replace(monthly_limit=total)).total == total
    with pytest.raises(ParamsError, match="costaría 712 USD al mes, y monthly_limit es 600"):
        cost.check_limit(GCP.replace(monthly_limit=600))


def test_a_month_has_so_much_for_nothing() -> None:
    price = prices.price("secrets")
    assert price.free == 6
    assert (price.of(5), price.of(8)) == (0, pytest.approx(2 * 0.06))
    assert replace(price, usd=None).of(5) is None


def test_each_price_has_its_page_and_its_day_or_is_unknown() -> None:
    names = [line.resource for line in cost.estimate(GCP).lines]
    assert len(set(names)) == len(names)
    for line in cost.estimate(GCP).lines:
        assert line.price.source.startswith("https://"), line
        assert line.price.usd is None or isinstance(line.price.read, date), line
        assert line.price.usd is None or line.price.read > date(2026, 1, 1), line
    assert set(words.RESOURCES) == set(names)
    assert set(words.SERVICES) == {line.service for line in cost.estimate(GCP).lines}


@pytest.mark.parametrize(
    ("page", "quoted"),
    [
        ("flink", f"{number(1e6 * figures.EVENT_CPU)} µs de procesador por evento con todos"),
        ("flink", f"un núcleo al {number(100 * figures.BUSY)} %"),
        ("flink", f"un registro son {figures.RECORD_BYTES} bytes en Kafka"),
        ("flink", f"Flink con una fuente 1,23 y {number(figures.CLOSING_SECONDS, 2)}"),
        ("rendimiento", f"{figures.BATCH_BYTES} en lugar de 200 bytes por evento"),
        ("lo_que_crece", f"de {figures.NEW_BYTES} a {figures.ARCHIVED_BYTES} bytes por registro"),
        ("lo_que_crece", f"{number(figures.ARCHIVE_FILES_A_DAY)} al día"),
    ],
)
def test_a_measured_figure_is_the_one_of_its_document(page: str, quoted: str) -> None:
    assert quoted in (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("board", figures.PANELS)
def test_the_boards_ask_as_often_as_is_counted(board: str) -> None:
    made = json.loads((ROOT / f"dashboards/{board}.json").read_text(encoding="utf-8"))
    every = re.fullmatch(r"(\d+)([sm])", made["refresh"])
    assert every is not None
    seconds = int(every[1]) * {"s": 1, "m": 60}[every[2]]
    assert figures.PANELS[board] == (len(made["panels"]), seconds)


def test_only_a_profile_without_anything_elsewhere_is_not_billed() -> None:
    local = params.load("local")
    assert cost.is_all_local(local)
    assert not cost.is_all_local(GCP)
    assert not cost.is_all_local(local.replace(archive="gs://somewhere"))
