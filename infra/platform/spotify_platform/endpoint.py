"""The endpoint of the model; which versions answer there is a matter of releases."""

from __future__ import annotations

from pulumi_gcp import vertex

from .place import Place


def make(place: Place) -> vertex.AiEndpoint:
    """Make it, under the name by which `model.endpoint` asks for it."""
    return vertex.AiEndpoint(
        "endpoint",
        name=place.names.model,
        display_name=place.names.model,
        location=place.params.cloud.location,
        opts=place.options(),
    )
