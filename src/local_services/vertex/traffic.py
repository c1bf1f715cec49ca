"""Where an endpoint's requests go: chosen by the split, asked over pooled connections."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from spotify_mlops.config.spanish import exact

from ..google_api.errors import ApiError
from .replicas import Replica

_PATIENCE = 30.0
"""Seconds that a request waits for a process that is starting (again)."""
_ANSWER_SECONDS = 120.0
_IDLE_SECONDS = 2.0
"""Connections idle for longer are not used again: servers close them after some seconds."""
_CONNECTIONS = 256
_STATUS = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "OUT_OF_RANGE",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


@dataclass(frozen=True)
class Target:
    """A deployed model that may answer."""

    deployed: Any
    replica: Replica

    @classmethod
    def of(cls, deployed: Any, replica: Replica) -> Target:
        """Keep a copy of the message."""
        copy = type(deployed)()
        copy.CopyFrom(deployed)
        return cls(copy, replica)


@dataclass(frozen=True)
class Answer:
    """What a container answered."""

    status: int
    content_type: str
    body: bytes


class Traffic:
    """Every endpoint's deployed models and shares."""

    def __init__(self) -> None:
        """Start with no endpoint; ``open`` before any request."""
        self._targets: dict[str, dict[str, Target]] = {}
        self._shares: dict[str, tuple[list[Target], list[int]]] = {}
        self.session: aiohttp.ClientSession

    def open(self) -> None:
        """Make the connection pool; needs a running event loop."""
        connector = aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_IDLE_SECONDS)
        self.session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS),
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self.session.close()

    def route(self, endpoint: str, targets: Sequence[Target], split: Mapping[str, int]) -> None:
        """Send an endpoint's requests to these models, in these shares, from now on."""
        self._targets[endpoint] = {target.deployed.id: target for target in targets}
        served = [target for target in targets if split.get(target.deployed.id)]
        self._shares[endpoint] = (served, [split[target.deployed.id] for target in served])

    def remove(self, endpoint: str) -> None:
        """Forget an endpoint."""
        self._targets.pop(endpoint, None)
        self._shares.pop(endpoint, None)

    def replica(self, endpoint: str, deployed_id: str) -> Replica | None:
        """Return a deployed model's process."""
        target = self._targets.get(endpoint, {}).get(deployed_id)
        return target.replica if target else None

    def take(self, endpoint: str, deployed_id: str) -> Replica | None:
        """Forget a deployed model and return its process, which has no new requests any more."""
        target = self._targets.get(endpoint, {}).pop(deployed_id, None)
        return target.replica if target else None

    def replicas(self) -> Iterator[Replica]:
        """Return every process."""
        for targets in self._targets.values():
            for target in targets.values():
                yield target.replica

    def choose(self, endpoint: str) -> Target:
        """Return who answers the next request.

        Raises:
            ApiError: there is no such endpoint, or nothing on it has traffic.
        """
        if endpoint not in self._targets:
            raise ApiError.not_found(endpoint)
        targets, shares = self._shares[endpoint]
        if not targets:
            raise ApiError.precondition(
                f"{endpoint} no tiene ningún modelo desplegado que reciba tráfico."
            )
        return random.choices(targets, shares)[0] if len(targets) > 1 else targets[0]

    async def ask(self, target: Target, body: bytes, content_type: str) -> Answer:
        """Pass a request's body to a deployed model's predict route.

        One whose process ends before it answered is asked again once it is back: a prediction
        changes nothing.

        Raises:
            ApiError: it does not answer.
        """
        with target.replica.request():
            for attempt in (1, 2):
                url, headers = await target.replica.address(_PATIENCE)
                headers = {**headers, "Content-Type": content_type}
                try:
                    async with self.session.post(url, data=body, headers=headers) as answer:
                        kind = answer.headers.get("Content-Type", "application/octet-stream")
                        return Answer(answer.status, kind, await answer.read())
                except aiohttp.ClientConnectionError as error:
                    if attempt == 2:
                        raise ApiError(
                            "UNAVAILABLE", f"El modelo desplegado se cortó: {error}"
                        ) from error
                    await target.replica.settle()
                except aiohttp.ClientError as error:
                    raise ApiError(
                        "INTERNAL", f"El modelo desplegado no habla HTTP: {error}"
                    ) from error
                except TimeoutError as error:
                    raise ApiError(
                        "DEADLINE_EXCEEDED",
                        f"El modelo desplegado no respondió en {exact(_ANSWER_SECONDS)} s.",
                    ) from error
        raise AssertionError("unreachable")


def refused(answer: Answer, message: str) -> ApiError:
    """Return a container's error as the API's, with the container's HTTP status."""
    status = _STATUS.get(answer.status)
    if status is None:
        status = "INTERNAL" if answer.status >= 500 else "FAILED_PRECONDITION"
    return ApiError(status, message, http_status=answer.status)
