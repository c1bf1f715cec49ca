"""What the platform's program declares for the profile of Google Cloud."""

from __future__ import annotations

import pytest
from spotify_platform.inventory import Declared, declared

from spotify_mlops.config import params
from spotify_mlops.config.params import Params

WHOLE = {
    "dataflow_image": "us-central1-docker.pkg.dev/spotify-mlops-demo/spotify-mlops/pipeline@sha256:"
    + "1" * 64,
    "atlas_project": "0123456789abcdef01234567",
    "alert_email": "guardia@example.org",
    "platform_grafana": "https://grafana.example.org",
}
"""What the profile leaves to its user."""


@pytest.fixture(scope="session")
def profile() -> Params:
    """Return the profile of Google Cloud, with all that is made only where it is asked for."""
    return params.load("gcp", **WHOLE)


@pytest.fixture(scope="session")
def resources(profile: Params) -> list[Declared]:
    """Return the resources of the profile."""
    return declared(profile)
