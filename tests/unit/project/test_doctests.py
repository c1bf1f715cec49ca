"""The examples in docstrings: what a frame looks like, at each floor that is made of columns."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from spotify_mlops import domain

MODULES = sorted(
    module.name for module in pkgutil.walk_packages(domain.__path__, f"{domain.__name__}.")
)
WITH_EXAMPLES = {
    "spotify_mlops.domain.events.codec",
    "spotify_mlops.domain.features.aggregates",
    "spotify_mlops.domain.features.ranking",
    "spotify_mlops.domain.labels",
    "spotify_mlops.domain.windows",
    "spotify_mlops.pipeline.steps",
}


@pytest.mark.parametrize("name", sorted({*MODULES, *WITH_EXAMPLES}))
def test_examples_are_true(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
    assert result.attempted > 0 or name not in WITH_EXAMPLES
