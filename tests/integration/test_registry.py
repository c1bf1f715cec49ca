"""Versions in Vertex AI, their aliases, and the endpoint that serves what the promotions say."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import strangers
from vertex_server import VertexServer, running

import tiny_model
from spotify_mlops.config.errors import InputError, IntegrityError, ServiceError
from spotify_mlops.config.params import Params
from spotify_mlops.model import bundle, client
from spotify_mlops.model.endpoint import Endpoint
from spotify_mlops.model.promotions import Canary, PromotionHistory
from spotify_mlops.model.registry import CHALLENGER, CHAMPION, DIGEST, Registry, digest_label
from spotify_mlops.pipeline.predict import Champions

START = tiny_model.START


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VertexServer]:
    with running(tmp_path_factory.mktemp("vertex")) as started:
        yield started


@pytest.fixture
def params(server: VertexServer, tmp_path: Path) -> Params:
    """Return params with a model, an archive and an endpoint of their own."""
    own = {
        "profile": f"test-{uuid.uuid4().hex[:8]}",
        "archive": str(tmp_path / "archive"),
    }
    return tiny_model.settings().replace(**own)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return tiny_model.bundles(tmp_path_factory.mktemp("bundles"), 3)


def test_a_bundle_keeps_its_version_and_its_labels_are_brought_up_to_date(
    params: Params, bundles: list[Path]
) -> None:
    registry = Registry(params)
    assert (registry.versions(), registry.aliases()) == ([], {})
    assert registry.register(bundles[0], {"gate": "failed"}) == "1"
    assert registry.register(bundles[1]) == "2"
    assert registry.register(bundles[0], {"gate": "passed"}) == "1"
    assert registry.versions() == ["1", "2"]
    digest = digest_label(bundle.load(bundles[0]).digest)
    assert registry.labels("1") == {"gate": "passed", DIGEST: digest}
    assert PromotionHistory(params).versions() == ["1", "2"]


def test_what_was_kept_but_not_registered_is_registered_first(
    params: Params, bundles: list[Path]
) -> None:
    PromotionHistory(params).keep("1", bundles[0])  # the process was killed here
    registry = Registry(params)
    assert registry.register(bundles[1]) == "2"
    assert registry.register(bundles[0]) == "1"
    assert registry.versions() == ["1", "2"]


def test_numbers_that_do_not_agree_are_an_error(params: Params, bundles: list[Path]) -> None:
    PromotionHistory(params).keep("5", bundles[0])
    with pytest.raises(IntegrityError, match="es la 5"):
        Registry(params).register(bundles[1])


def test_the_aliases_follow_the_schedule(params: Params, bundles: list[Path]) -> None:
    registry = Registry(params)
    first, second = (registry.register(path) for path in bundles[:2])
    registry.promote(first, START)
    assert registry.aliases()[CHAMPION] == first
    registry.promote(first, START + timedelta(hours=1), Canary(second, 0.1))
    assert registry.aliases() == {"default": first, CHAMPION: first, CHALLENGER: second}
    # A process that was killed between the promotion and the aliases leaves this:
    PromotionHistory(params).promote(second, START + timedelta(hours=2))
    registry.align()
    assert registry.aliases() == {"default": first, CHAMPION: second}
    with pytest.raises(InputError, match="No hay versión 9"):
        registry.promote("9", START)


def test_the_endpoint_serves_the_versions_of_the_term(
    server: VertexServer, params: Params, bundles: list[Path]
) -> None:
    registry, promotions, endpoint = Registry(params), PromotionHistory(params), Endpoint(params)
    first, second = (registry.register(path) for path in bundles[:2])
    rows = tiny_model.data()[0].tail(1)
    instance = rows.select(bundle.load(bundles[0]).features).to_dicts()
    with pytest.raises(ServiceError):
        client.predict(params, instance)
    assert endpoint.traffic() == {}
    registry.promote(first, START)
    endpoint.serve(promotions.periods()[-1])
    assert endpoint.traffic() == {first: 100}
    assert client.predict(params, instance)[0]["model"] == f"popularity@{first}"
    deployed = {str(port): "serving" for port in server.deployed_ports()}
    assert strangers.ask(deployed) == dict.fromkeys(deployed, "refused")
    assert len(deployed) == 1
    registry.promote(first, START + timedelta(hours=1), Canary(second, 0.5))
    endpoint.serve(promotions.periods()[-1])
    assert endpoint.traffic() == {first: 50, second: 50}
    models = {client.predict(params, instance)[0]["model"] for _ in range(40)}
    assert models == {f"popularity@{first}", f"popularity@{second}"}
    registry.promote(second, START + timedelta(hours=2))
    endpoint.serve(promotions.periods()[-1])
    assert endpoint.traffic() == {second: 100}
    assert client.predict(params, instance)[0]["model"] == f"popularity@{second}"
    endpoint.serve(promotions.periods()[-1])  # harmless


def test_an_endpoint_is_removed_with_all_that_is_deployed(
    params: Params, bundles: list[Path]
) -> None:
    registry, promotions, endpoint = Registry(params), PromotionHistory(params), Endpoint(params)
    assert endpoint.deployed() is None
    first, second = (registry.register(folder) for folder in bundles[:2])
    registry.promote(first, tiny_model.START, Canary(second, 0.1))
    endpoint.serve(promotions.periods()[-1])
    assert endpoint.deployed() == [first, second]
    endpoint.remove()
    assert endpoint.deployed() is None
    endpoint.remove()
    endpoint.serve(promotions.periods()[-1])
    assert endpoint.traffic() == {first: 90, second: 10}


def test_the_pipeline_may_ask_the_endpoint_and_says_the_same(
    params: Params, bundles: list[Path]
) -> None:
    registry, promotions = Registry(params), PromotionHistory(params)
    first, second = (registry.register(path) for path in bundles[:2])
    features = tiny_model.data()[0]
    change = START + timedelta(hours=40)
    registry.promote(first, START)
    Endpoint(params).serve(promotions.periods()[-1])
    remote = params.replace(predictor="endpoint")
    asked: list[str] = []

    def spied(*given: Any) -> pl.DataFrame:
        answers = predict_rows(*given)
        asked.extend(answers["model"].unique())
        return answers

    predict_rows = client.predict_rows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "predict_rows", spied)
        assert Champions(remote).predict(features).equals(Champions(params).predict(features))
        assert asked == [f"popularity@{first}"]
        # Another version is due from a window on, and the endpoint does not serve it yet.
        registry.promote(second, change)
        late, here = (Champions(p).predict(features) for p in (remote, params))
    assert late.equals(here)
    assert set(late.filter(pl.col("window_start") >= change)["model"]) == {f"popularity@{second}"}


def test_an_endpoint_that_stays_away_is_said(params: Params, bundles: list[Path]) -> None:
    registry = Registry(params)
    registry.promote(registry.register(bundles[0]), START)
    away = {"predictor": "endpoint", "sink_deadline": timedelta(seconds=1)}
    with pytest.raises(ServiceError, match="No hay endpoint"):
        Champions(params.replace(**away)).predict(tiny_model.data()[0])
