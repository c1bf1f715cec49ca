"""What one check found, in codes and numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ....config.params import Params
from ....config.references import LOCAL, is_reference
from ....io.google_apis import Apis

State = Literal["good", "bad", "off", "unknown"]
"""``off`` is what is not there, where that is no fault."""


@dataclass(frozen=True)
class Finding:
    """What is known of one thing; ``presentation`` words it by its check and reason."""

    check: str
    state: State
    reason: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    """For the words. Never a secret."""


@dataclass(frozen=True)
class Context:
    """What every check looks at."""

    params: Params
    apis: Apis

    @property
    def is_in_google(self) -> bool:
        """Tell whether something of the profile is in Google Cloud, or in stand-ins of it."""
        params = self.params
        dataflow = params.engine.runner == "dataflow" and params.dataflow.endpoint != LOCAL
        return (
            dataflow
            or params.bigquery.rest != LOCAL
            or params.cloud.vertex != LOCAL
            or params.cloud.archive.startswith("gs://")
        )

    @property
    def is_kafka_managed(self) -> bool:
        """Tell whether the brokers are Google's."""
        return ".managedkafka." in self.params.kafka.bootstrap

    def references(self) -> dict[str, str]:
        """Return the references to secrets that this profile reads, by the parameter's name."""
        params = self.params
        used = {"mongo_uri": True, "kafka_ca": True}
        by_password = params.kafka.sasl_mechanism not in (None, "OAUTHBEARER")
        used |= dict.fromkeys(("kafka_username", "kafka_password"), by_password)
        webapi = params.sources.source == "webapi"
        used |= dict.fromkeys(("webapi_client_id", "webapi_client_secret"), webapi)
        used["webapi_refresh_token"] = webapi and params.webapi.listener_country is not None
        values = {name: params.value(name) for name, yes in used.items() if yes}
        return {name: str(value) for name, value in values.items() if is_reference(value)}


Check = Callable[[Context], Finding | None]
"""Looks at one thing; None where the profile has no such thing."""
