"""The whole platform, in the order in which one part needs another."""

from __future__ import annotations

from spotify_mlops.config.params import Params

from . import (
    alerts,
    apis,
    archive,
    budget,
    endpoint,
    grafana,
    identities,
    log,
    mongo,
    network,
    registry,
    schedules,
    secrets,
    warehouse,
    watching,
)
from .place import Place


def make(params: Params) -> None:
    """Declare everything that the params need in their project.

    Raises:
        ParamsError: the params describe no platform; nothing is declared then.
    """
    place = apis.enable(Place.of(params))
    accounts = identities.make(place)
    connected = network.make(place)
    log.make(place, connected, accounts)
    archive.make(place, accounts)
    warehouse.make(place, accounts)
    registry.make(place, accounts)
    secrets.make(place, accounts)
    mongo.make(place, connected)
    endpoint.make(place)
    schedules.make(place, connected, accounts)
    watching.make(place, connected, accounts)
    budget.make(place, alerts.make(place))
    grafana.make(place)
