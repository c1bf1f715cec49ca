"""Whether a profile can be deployed: what each thing that it names is like, looked at at once."""

from __future__ import annotations

from ....config.params import Params
from ....io.google_apis import Apis
from . import built, capacity, identity, places
from .finding import Check, Context, Finding, State
from .running import PATIENCE, run

CHECKS: dict[str, Check] = {
    "demo": built.demo,
    "credentials": identity.credentials,
    "project": identity.project,
    "apis": identity.apis,
    "permissions": identity.permissions,
    "bucket_permissions": identity.bucket_permissions,
    **{name: identity.service_account(name) for name in identity.ACCOUNTS},
    "quotas": capacity.quotas,
    "subnetwork": capacity.subnetwork,
    "budget": capacity.budget,
    "kafka": places.kafka,
    "bigquery": places.bigquery,
    "bucket": places.bucket,
    "vertex": places.vertex,
    "secrets": places.secret_versions,
    "mongo": places.mongo,
    "dataflow": places.dataflow,
    **{name: built.image(name) for name in built.IMAGES},
    "versions": built.versions,
}
"""In the order in which they are told: what the later ones need comes first."""


def check(params: Params, patience: float = PATIENCE) -> list[Finding]:
    """Return what is found of a profile; nothing is changed, and no secret is read but to connect.

    Args:
        params: of the profile.
        patience: seconds for all of it.
    """
    return run(Context(params, Apis(params)), CHECKS, patience)


__all__ = ["CHECKS", "Context", "Finding", "State", "check"]
