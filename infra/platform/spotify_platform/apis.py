"""The APIs of Google that the rest needs."""

from __future__ import annotations

from pulumi_gcp import projects

from .place import Place

APIS = (
    "aiplatform",
    "artifactregistry",
    "bigquery",
    "bigquerystorage",
    "billingbudgets",
    "cloudbilling",
    "cloudresourcemanager",
    "cloudscheduler",
    "compute",
    "dataflow",
    "iam",
    "logging",
    "managedkafka",
    "monitoring",
    "run",
    "secretmanager",
    "storage",
)


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
            for name in APIS
        )
    )
