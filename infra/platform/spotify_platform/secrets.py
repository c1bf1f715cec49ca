"""The secrets that the params refer to: their places, and who reads them. Their values are put
there by whoever has them, and are in no file and no state of this program."""

from __future__ import annotations

from collections.abc import Mapping

from pulumi_gcp import secretmanager

from . import grants
from .grants import Account, allow
from .names import Role
from .place import Place

_READERS: dict[str, tuple[Role, ...]] = {
    "mongo": ("stream", "watcher", "serving", "deployer"),
    "kafka": ("stream", "watcher", "monitor", "deployer"),
}
"""By the section of the parameter: who connects there. Of the rest, who publishes."""
_READS = "roles/secretmanager.secretAccessor"
_SEES = "roles/secretmanager.viewer"
"""Whether there is a value, which ``cloud check`` asks without reading it."""


def make(place: Place, accounts: Mapping[Role, Account]) -> None:
    """Make them, empty, in the params' own location."""
    made: dict[str, secretmanager.Secret] = {}
    allowed = set()
    for parameter, name in place.names.secrets.items():
        if name not in made:
            made[name] = _secret(place, name)
        for role in _READERS.get(parameter.partition("_")[0], ("deployer",)):
            if (role, name) not in allowed:
                allowed.add((role, name))
                roles = (_READS, _SEES) if role == "deployer" else (_READS,)
                allow(place, accounts[role], grants.secret(name, made[name]), *roles)


def _secret(place: Place, name: str) -> secretmanager.Secret:
    replica = secretmanager.SecretReplicationUserManagedReplicaArgs(
        location=place.params.cloud.location
    )
    return secretmanager.Secret(
        name,
        secret_id=name,
        replication=secretmanager.SecretReplicationArgs(
            user_managed=secretmanager.SecretReplicationUserManagedArgs(replicas=[replica])
        ),
        deletion_protection=place.params.platform.deletion_protection,
        opts=place.holding_data(),
    )
