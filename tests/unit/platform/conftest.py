"""What the platform's program declares for the profile of Google Cloud."""

from __future__ import annotations

import pytest

from declared import Declared, declared
from spotify_mlops.config import params
from spotify_mlops.config.params import Params


@pytest.fixture(scope="session")
def profile() -> Params:
    """Return the profile of Google Cloud, with all that is made only where it is asked for."""
    return params.load("gcp", **WHOLE)


@pytest.fixture(scope="session")
def resources(profile: Params) -> list[Declared]:
    """Return the resources of the profile."""
    return declared(profile)


WHOLE: dict[str, object] = {}
"""What the profile leaves to its user."""
