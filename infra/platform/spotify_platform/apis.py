"""The APIs of Google that the rest needs: those that the ``cloud`` commands ask, or look for."""

from __future__ import annotations

from pulumi_gcp import projects

from spotify_mlops.operations.cloud.check.identity import APIS, KAFKA_API

from .place import Place


def enable(place: Place) -> Place:
    """Enable them; return the place where they are."""
    return place.then(
        *(
            projects.Service(
                name,
                service=f"{name}.googleapis.com",
                disable_on_destroy=False,  # others of the project may use it
                opts=place.options(),
            )
            for name in (*APIS, KAFKA_API)
        )
    )
